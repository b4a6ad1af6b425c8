"""Statements on the proportional limit, and on scores as features become many."""
