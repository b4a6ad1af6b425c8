"""Statements on inputs that are mixtures of Gaussians, two classes or three."""
