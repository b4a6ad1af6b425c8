"""Rounds of an advice: refits on real rows and on the mixture, and what both say together."""
