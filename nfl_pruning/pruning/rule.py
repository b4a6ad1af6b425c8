"""By which rule a data set is pruned: checked, described, and carried out on its scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.probing import Scored, check_needs
from nfl_pruning.scores.base import SCORES, Score
from nfl_pruning.selections import (
    PropensitySelection,
    Selected,
    Selection,
    ValueSelection,
    make_selection,
    select,
)
from nfl_pruning.selections.balanced import select_by_class
from nfl_pruning.selections.base import ENDS
from nfl_pruning.selections.explored_quotas import select_explored_by_class
from nfl_pruning.selections.nested import Nested, nested_order
from nfl_pruning.validation import check_choice, check_number, check_seed


@dataclass(frozen=True)
class DataRule:
    """How rows are chosen once they have scores.

    Attributes:
        selection: the protocol.
        keep: end of the score, ``"hardest"`` or ``"easiest"``.
        keep_fraction: share to keep, in (0, 1].
        balance: class quotas, ``"none"``, ``"proportional"``, ``"equal"`` or ``"explored"``.
    """

    selection: Selection
    keep: str
    keep_fraction: float
    balance: str

    def choose(self, key: jax.Array, scored: Scored, labels: np.ndarray) -> Selected:
        """The selection among all samples, or class by class."""
        about: dict[str, Any] = {"keep": self.keep, "selection": self.selection}
        share = self.keep_fraction
        if self.balance == "explored":
            keys = scored.rank_key
            return select_explored_by_class(key, keys, labels, keep_fraction=share, **about)
        if self.balance != "none":
            how = {"keep_fraction": share, "balance": self.balance, **about}
            return select_by_class(key, scored.rank_key, labels, **how)
        by_value = isinstance(self.selection, ValueSelection)
        return select(key, scored.values if by_value else scored.rank_key, share, **about)

    def order(self, key: jax.Array, scored: Scored) -> Nested | None:
        """The order in which rows enter as the budget grows, for rules whose subsets are nested."""
        if self.balance != "none":
            return None
        about: dict[str, Any] = {"keep": self.keep, "selection": self.selection}
        return nested_order(key, scored.rank_key, self.keep_fraction, **about)

    def describe(self) -> dict[str, Any]:
        """The rule as plain values."""
        return {
            "keep_fraction": self.keep_fraction,
            "keep": self.keep if "keep" in self.selection.uses else None,
            "protocol": self.selection.label,
            "exploit": getattr(self.selection, "exploit", None),
            "balance": self.balance,
        }


def check_rule(
    *,
    seed: int,
    score: str | Score,
    keep: str,
    keep_fraction: float,
    selection: str | Selection,
    exploit: float,
    given: bool = False,
) -> tuple[Selection, Score]:
    """The protocol, and the score whose rank key it reads (the constant one where it reads none).

    The arguments are those of :func:`prune`; ``given`` says that no probe is needed because scores
    are given.

    Raises:
        InvalidArgumentError: out of range, unknown, or more than a linear probe can supply.
    """
    check_seed(seed)
    check_number("keep_fraction", keep_fraction, "(0, 1]")
    check_choice("keep", keep, ENDS)
    rule = make_selection(selection, exploit=check_number("exploit", exploit, "[0, 1]"))
    member = score if isinstance(score, Score) else SCORES[score]
    if isinstance(rule, PropensitySelection):
        if given:
            raise InvalidArgumentError(
                f"protocol {rule.label} takes probabilities from a probe, not from given scores."
            )
        return rule, rule.base
    ranking = member if "score" in rule.uses else SCORES["random"]
    if not given:
        check_needs(ranking)
    return rule, ranking
