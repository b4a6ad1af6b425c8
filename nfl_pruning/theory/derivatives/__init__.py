"""Derivatives of the limits in a problem's numbers."""
