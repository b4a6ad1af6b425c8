"""Quadrature on graded panels, on the host: any loss, link and selection."""
