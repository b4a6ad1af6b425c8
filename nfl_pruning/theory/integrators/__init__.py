"""The ways to compute the moments of one set of equations; two of them check each other."""
