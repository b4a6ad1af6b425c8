"""Flax networks on real data: train, score, prune, refit and compare."""
