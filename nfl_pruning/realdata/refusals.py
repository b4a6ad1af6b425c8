"""When the theory does not describe the data: what was seen, and what to do instead."""

from __future__ import annotations

import numpy as np

from nfl_pruning.realdata.diagnostics import Diagnostics

COMPARE = "nfl-pruning compare measures the rules on these data."

DUPLICATES = (0.02, 0.2)  # shares of repeated rows that are flagged, and refused
NEAR_COPIES = (0.05, 0.3)
LEAKED = (0.002, 0.05)
TAIL = (3.0, 1e9)
KURTOSIS = (4.0, 1e9)
ROWS_OF_CLASS = 20
ROWS_PER_CLASS = 40  # on average
SURPRISE = 4.0
DEPARTURE = 6.0  # points by which a check may depart after the correction by the others


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def before_fitting(seen: Diagnostics) -> tuple[list[str], list[str]]:
    """Reasons to refuse, and flags, that need no mixture."""
    reasons, flags = [], []

    def judge(value: float, limits: tuple[float, float], text: str, remedy: str) -> None:
        if value > limits[1]:
            reasons.append(f"{text} {remedy}")
        elif value > limits[0]:
            flags.append(text)

    judge(
        seen.duplicates,
        DUPLICATES,
        f"{_percent(seen.duplicates)} of the rows repeat an earlier row exactly"
        f"{f', {_percent(seen.conflicting)} with another label' if seen.conflicting else ''}: "
        "copies on both sides of a split make every refit look better than it is.",
        "Remove the copies first, then ask again.",
    )
    near = max(seen.near_copies - seen.duplicates, 0.0)
    judge(
        near,
        NEAR_COPIES,
        f"{_percent(near)} of the rows lie far nearer to another row than is usual: they are "
        "copies with small changes.",
        "Remove near copies first, then ask again.",
    )
    if seen.leaked is not None:
        judge(
            seen.leaked,
            LEAKED,
            f"{_percent(seen.leaked)} of the test rows are, or nearly are, rows of the data: the "
            "probe has seen what it is tested on.",
            "Take the test rows out of the data, then ask again.",
        )
    if seen.smallest_class < ROWS_OF_CLASS:
        reasons.append(
            f"The rarest class has {seen.smallest_class} rows, fewer than the {ROWS_OF_CLASS} that "
            f"its law can be fitted to. Merge or leave out rare classes; or {COMPARE}"
        )
    return reasons, flags


def near_chance(seen: Diagnostics, n_classes: int) -> list[str]:
    """A reason to refuse where labels cannot be told from the features."""
    even = 1 / n_classes
    noise = 3 * np.sqrt(even * (1 - even) / (seen.smallest_class * n_classes))
    if seen.balanced > even + max(noise, 0.05 * (1 - even)):
        return []
    return [
        f"A linear model is right on {100 * seen.accuracy:.1f} % of rows it has not seen, the "
        f"largest class has {100 * seen.chance:.1f} %, and on {100 * seen.balanced:.1f} % as a "
        "mean over classes: the features say next to nothing about "
        "these labels. Look at the labels (are they in the order of the rows?) and the features."
    ]


def of_the_logits(right: float, seen: Diagnostics) -> list[str]:
    """A flag where given logits know labels that the features do not tell.

    Args:
        right: share of the rows whose largest logit is the label's.
        seen: accuracy of refits on rows that they have not seen.
    """
    if right < seen.accuracy + max(0.03, 0.5 * (1 - seen.accuracy)):
        return []
    return [
        f"The logits given are right on {100 * right:.1f} % of the rows, refits to these features "
        f"on {100 * seen.accuracy:.1f} % of rows that they have not seen: was their model trained "
        "on these rows? Its scores then say less of new rows than of these."
    ]


def of_the_mixture(seen: Diagnostics) -> tuple[list[str], list[str]]:
    """Reasons and flags from how the mixture fits rows it has not seen."""
    text = (
        f"The features have heavier tails than Gaussian components allow: the outermost 1 % of "
        f"rows lie {np.sqrt(seen.tail):.1f} times as far out, logits have an excess kurtosis of "
        f"{seen.kurtosis:.1f}."
    )
    if seen.tail > TAIL[1] or seen.kurtosis > KURTOSIS[1]:
        return [
            f"{text} Transform the features (logarithms, ranks) and ask again; or {COMPARE}"
        ], []
    if seen.tail > TAIL[0] or seen.kurtosis > KURTOSIS[0]:
        return [], [text]
    return [], []


def of_the_checks(surprise: float, left: float) -> tuple[list[str], list[str]]:
    """Reasons and flags from the real refits.

    Args:
        surprise: of :class:`nfl_pruning.realdata.rounds.departure.Departure`.
        left: largest departure of a check, in points, that the other checks did not foresee.
    """
    text = (
        f"The mixture does not describe these data: a real refit departs by {left:.1f} points "
        "from what the other refits led to expect."
    )
    if surprise > SURPRISE and left > DEPARTURE:
        return [f"{text} {COMPARE}"], []
    if surprise > SURPRISE / 2 and left > DEPARTURE / 2:
        return [], [text]
    return [], []
