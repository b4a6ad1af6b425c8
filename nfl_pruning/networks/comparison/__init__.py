"""Pruning rules compared on real data: paired repeats of networks, and their verdicts."""
