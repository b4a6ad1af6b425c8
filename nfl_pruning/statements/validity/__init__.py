"""Statements on validity: which pruned fits converge to what the whole data would give."""
