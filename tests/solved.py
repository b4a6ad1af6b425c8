"""Limits that several tests look at are solved once in a process."""

from functools import cache

from nfl_pruning import solve

solved = cache(solve)
