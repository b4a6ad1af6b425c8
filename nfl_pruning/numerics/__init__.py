"""Quadrature, root finding and status codes; nothing here knows any statistics."""
