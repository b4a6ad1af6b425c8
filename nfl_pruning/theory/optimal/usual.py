"""The usual rules at a problem's keep fraction: what an optimised rule has to beat."""

from __future__ import annotations

from nfl_pruning.problem import Problem
from nfl_pruning.rules import RULES
from nfl_pruning.selections import make_selection
from nfl_pruning.selections.power import Power
from nfl_pruning.selections.window import Window

CALIBRATED = ("exact", "soft:0.5", "soft:0")
EXPLOITS = (0.25, 0.5, 0.75)
WINDOWS = (0.1, 0.25, 0.5, 0.75)  # offsets, as parts of the share that is dropped
POWERS = (-1.0, 0.5, 1.0, 2.0)
ORDERS = ("aware-hardest", "agnostic-hardest")  # windows from the other ends are the same


def usual_problems(problem: Problem) -> dict[str, Problem]:
    """Random pruning, the hard rules, calibrated ones, windows and smooth powers, by name.

    Args:
        problem: its score, keep and selection do not matter; the keep fraction is the budget.
    """
    budget, found = problem.keep_fraction, {}
    for name, choice in RULES.items():
        found[name] = base = problem.replace(selection="threshold").replace(**choice)
        if name == "random":
            continue
        for text in CALIBRATED:
            for exploit in EXPLOITS:
                selection = make_selection(text, exploit=exploit)
                found[f"{name}, {text} exploit {exploit:g}"] = base.replace(selection=selection)
    for name in ORDERS if budget < 1 else ():
        for part in WINDOWS:
            selection = make_selection(f"window:{part * (1 - budget)!r}")
            found[f"{name}, window {part:g}"] = found[name].replace(selection=selection)
    for exponent in POWERS:
        selection = make_selection(f"power:{exponent:g}")
        found[f"power {exponent:g}"] = problem.replace(selection=selection)
    return found


def on_bins(problem: Problem) -> bool:
    """Whether bins cut at the shares of ``EXPLOITS`` hold all thresholds of such a rule."""
    return not isinstance(problem.selection, Window | Power)
