"""Exact limits, simulation and practice of score-based data pruning."""
