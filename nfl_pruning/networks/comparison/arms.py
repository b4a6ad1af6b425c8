"""The pruning rules that an experiment compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.scores.base import SCORES, Score
from nfl_pruning.selections import (
    PropensitySelection,
    RankSelection,
    Selected,
    Selection,
    ValueSelection,
    make_selection,
    select,
)
from nfl_pruning.selections.balanced import check_quotas, select_by_class
from nfl_pruning.selections.explored_quotas import (
    ALL_BALANCES,
    check_explored,
    select_explored_by_class,
)
from nfl_pruning.selections.finite import realised_counts
from nfl_pruning.validation import check_choice, check_number, is_number


@dataclass(frozen=True)
class Arm:
    """A pruning rule to compare.

    Attributes:
        name: how records and figures call it.
        selection: the protocol; its kept count must not depend on chance.
        score: what it ranks by; None for a protocol that ignores scores.
        keep: ``"hardest"`` or ``"easiest"``.
        balance: class quotas: ``"none"``, ``"proportional"``, ``"equal"``, or ``"explored"``:
            proportional ones of the explored part alone.
    """

    name: str
    selection: Selection
    score: Score | None = None
    keep: str = "hardest"
    balance: str = "none"

    def __post_init__(self) -> None:
        check_choice("balance", self.balance, ALL_BALANCES)
        by_rank = isinstance(self.selection, RankSelection)
        if isinstance(self.selection, PropensitySelection) or (
            self.balance != "none" and not by_rank
        ):
            what = "comparisons" if self.balance == "none" else "class quotas"
            raise InvalidArgumentError(
                f"{what} need a protocol that keeps a fixed count"
                f"{'' if self.balance == 'none' else ' by rank'}; got {self.selection.label}."
            )
        if self.balance == "explored":
            check_explored(self.selection)

    def has_scores(self, rank_keys: dict[str, np.ndarray], repeat: int) -> bool:
        """Whether the probe of a repeat gave what the arm ranks by."""
        return self.score is None or bool(np.isfinite(rank_keys[self.score.name][repeat]).all())

    def choose(
        self, key: Array, rank_keys: dict[str, np.ndarray], labels: np.ndarray, share: float
    ) -> Selected:
        """The selection among samples with these rank keys and labels, shape (n,)."""
        values = np.zeros(len(labels))
        if self.score is not None:
            values = rank_keys[self.score.name]
            if isinstance(self.selection, ValueSelection):
                with jax.enable_x64(True):
                    values = np.asarray(self.score.publish(jnp.asarray(values)))
        if self.balance == "none":
            return select(key, values, share, keep=self.keep, selection=self.selection)
        how: dict[str, Any] = {"keep": self.keep, "selection": self.selection}
        if self.balance == "explored":
            return select_explored_by_class(key, values, labels, keep_fraction=share, **how)
        return select_by_class(
            key, values, labels, keep_fraction=share, balance=self.balance, **how
        )


def parse_policy(text: str, *, exploit: float = 0.5, scores: Mapping[str, Score] = SCORES) -> Arm:
    """An arm from words: a score, then an end, a protocol, its exploit and class quotas, each once.

    Such as ``el2n hardest exact 0.05``, ``forgetting easiest`` (the threshold rule) or ``grand
    soft:0.5 0.1 explored``. Its name is the text.

    Args:
        text: the words, in any order after the score.
        exploit: where the text has none.
        scores: by name.
    """
    name, *words = text.split() or [""]
    score, found = scores[check_choice("score", name, scores)], {}
    for word in words:
        kind = "protocol"
        if word in ("hardest", "easiest"):
            kind = "keep"
        elif word in ALL_BALANCES:
            kind = "balance"
        elif is_number(word):
            kind = "exploit"
        if kind in found:
            raise InvalidArgumentError(
                f"policy must name one {kind} at most; got {found[kind]} and {word} in {text!r}."
            )
        found[kind] = word
    share = check_number("exploit", float(found.get("exploit", exploit)), "[0, 1]")
    rule = make_selection(found.get("protocol", "threshold"), exploit=share)
    for kind in ("exploit", "keep"):
        if kind in found and kind not in rule.uses:
            raise InvalidArgumentError(
                f"protocol {rule.label} has no {kind}; got {found[kind]} in policy {text!r}."
            )
    if "score" not in rule.uses:
        raise InvalidArgumentError(f"policy must have a protocol that uses a score; got {text!r}.")
    ends = found.get("keep", "hardest"), found.get("balance", "none")
    return Arm(" ".join([name, *words]), rule, score, *ends)


def make_arm(name: str, **choice: Any) -> Arm:
    """An arm from plain values: score (a name), keep, protocol, exploit, balance."""
    score = choice.get("score")
    return Arm(
        name,
        make_selection(choice.get("protocol", "threshold"), exploit=choice.get("exploit", 0.5)),
        None if score is None else SCORES[score],
        choice.get("keep", "hardest"),
        choice.get("balance", "none"),
    )


def check_counts(arms: Sequence[Arm], keep_fraction: float, labels: np.ndarray) -> None:
    """Raise when an arm would keep nothing, or explore nothing, of samples with these labels.

    Args:
        arms: the rules.
        keep_fraction: share to keep.
        labels: class codes of each repeat, shape (repeats, n).
    """
    for arm in arms:
        if isinstance(arm.selection, ValueSelection):
            arm.selection.check_size(keep_fraction, labels.shape[1])
        elif arm.balance in ("none", "explored"):
            assert isinstance(arm.selection, RankSelection)
            realised_counts(arm.selection.strata(keep_fraction), labels.shape[1])
        else:
            rule = arm.selection
            for own in labels:
                check_quotas(own, keep_fraction, balance=arm.balance, selection=rule)
