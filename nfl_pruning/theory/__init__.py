"""Exact limits of score-based pruning."""
