"""What an advice is asked: the question, checked, and the cells that answer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nfl_pruning.data.dataset import Dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.realdata.policies import RANDOM, Policy, make_policies
from nfl_pruning.realdata.rounds.refits import ALL, Cell, feasible
from nfl_pruning.realdata.targets import TARGETS
from nfl_pruning.validation import check_choice, check_integer, check_number, check_seed

KEEP_FRACTIONS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
SCORES_ASKED = ("el2n", "margin")
CHECKS = ("few", "all")
CHEAP = 0.2  # kept at most: refits cost a fifth of a training or less, and err the most


@dataclass(frozen=True)
class Asked:
    """The question, checked.

    Attributes:
        policies: random pruning first.
        keep_fractions: below 1.
        target: name.
        tolerance: accepted loss.
        checks: ``few`` or ``all``.
        components: of each class, or None.
        seed: of everything.
    """

    policies: tuple[Policy, ...]
    keep_fractions: tuple[float, ...]
    target: str
    tolerance: float
    checks: str
    components: int | None
    seed: int

    def cells(self) -> list[Cell]:
        """All data, and every policy at every fraction."""
        return [ALL, *((p, f) for f in self.keep_fractions for p in self.policies)]

    def feasible_cells(self, n_train: int) -> list[Cell]:
        """Those that can be pruned at all from so many rows."""
        return [cell for cell in self.cells() if feasible(cell, n_train)]

    def first_cells(self, n_train: int, *, everything: bool = False) -> list[Cell]:
        """What is checked by real refits from the start.

        Every cell, or these: all data; every policy where little is kept, where refits are cheap
        and the mixture says least; at two fractions random pruning, both ends, a calibrated rule.

        Args:
            n_train: rows of a round before pruning: cells that would keep too few are left out.
            everything: whether every cell is checked.
        """
        if everything:
            return self.feasible_cells(n_train)
        fractions = self.keep_fractions
        ends = sorted({fractions[0], fractions[len(fractions) // 2]})
        found: list[Cell] = [ALL, *((RANDOM, f) for f in ends)]
        others = [p for p in self.policies if not p.is_random]
        ends_of = [
            [p for p in others if p.exploit == 1 and p.keep == keep][:1]
            for keep in ("hardest", "easiest")
        ]
        calibrated = [p for p in others if p.exploit < 1]
        middle = calibrated[len(calibrated) // 2 : len(calibrated) // 2 + 1]
        found += [(p, f) for p in [*ends_of[0], *ends_of[1], *middle] for f in ends]
        found += [(p, f) for f in fractions if f <= CHEAP for p in self.policies]
        return [cell for cell in dict.fromkeys(found) if feasible(cell, n_train)]


def check_question(
    keep_fractions: Sequence[float],
    scores: Sequence[str | Policy],
    exploits: Sequence[float],
    target: str,
    tolerance: float,
    checks: str,
    components: int | None,
    seed: int,
) -> Asked:
    """The question, from all arguments of :func:`nfl_pruning.advise` that need no data.

    Raises:
        InvalidArgumentError: an argument is out of range.
    """
    fractions = sorted({check_number("keep_fractions", f, "(0, 1)") for f in keep_fractions})
    if not fractions:
        raise InvalidArgumentError("keep_fractions must list one fraction at least; got none.")
    if isinstance(scores, str):
        raise InvalidArgumentError(f"scores must be a list of names; got {scores!r}.")
    return Asked(
        make_policies(scores, exploits),
        tuple(fractions),
        check_choice("target", target, TARGETS),
        check_number("tolerance", tolerance, "[0, inf)"),
        check_choice("checks", checks, CHECKS),
        None if components is None else check_integer("components", components, 1),
        check_seed(seed),
    )


def check_logits(logits: Any, data: Dataset) -> np.ndarray:
    """Logits of the data's rows as float64, shape (n, C).

    Raises:
        InvalidArgumentError: another shape, or numbers that are not finite.
    """
    found = np.asarray(logits, dtype=np.float64)
    wanted = (len(data), len(data.classes))
    if found.shape != wanted or not np.isfinite(found).all():
        raise InvalidArgumentError(
            f"logits must be finite numbers of shape {wanted}, one row a sample and one column a "
            f"class; got shape {found.shape}."
        )
    return found
