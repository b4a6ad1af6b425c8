"""Limits for Gaussian mixtures and many classes: docs/equations.md, "Mixtures and many classes"."""
