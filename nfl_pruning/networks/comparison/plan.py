"""What a comparison is asked to do: rules, training and splits, checked when built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.networks.comparison.arms import Arm, parse_policy
from nfl_pruning.networks.gradients import check_scope
from nfl_pruning.networks.scoring import Look, check_epoch
from nfl_pruning.networks.training import USUAL, Training
from nfl_pruning.records import code_hash
from nfl_pruning.scores import SCORES
from nfl_pruning.scores.base import Score
from nfl_pruning.selections import Selection, make_selection
from nfl_pruning.selections.base import ENDS
from nfl_pruning.selections.explored_quotas import ALL_BALANCES
from nfl_pruning.validation import check_choice, check_integer, check_number, check_seed

MAY_BE_EMPTY = ("scores", "policies")

GIVEN = Score("given", lambda logits, labels, context: logits[..., 0], label_aware=False)
"""Stands for scores that were computed elsewhere, which no network computes."""


@dataclass(frozen=True)
class ComparisonPlan:
    """Which rules are compared with random pruning, and how.

    Attributes:
        seed: whole number in [0, 2^32).
        scores: registered names or scores; none where only given scores are compared.
        given: whether scores that were computed elsewhere are compared as well.
        selections: which samples stay, as text or objects; each must keep a fixed count.
        keep: ends of the scores that stay.
        policies: single rules beside all combinations of scores, selections and ends, as arms or
            as text (see :func:`nfl_pruning.networks.comparison.arms.parse_policy`).
        keep_fractions: in (0, 1], each once.
        exploit: exploitation share of selections in whose text there is none, in [0, 1].
        balance: class quotas: ``"none"``, ``"proportional"``, ``"equal"`` or ``"explored"``.
        repeats: at least 2.
        epoch: after which networks score; half of the training's by default.
        gradient: which gradient GraNd means.
        n_train: training samples in a repeat; all by default.
        label_noise: share of wrong training labels, in [0, 1].
        imbalance: how many times rarer the last class is made than the first, >= 1.
        validation: share of the training rows held out to choose the epoch, in [0, 1).
        model: name of the network.
        training: of probes and refits.
    """

    seed: int
    scores: Sequence[Score | str] = ("el2n",)
    given: bool = False
    selections: Sequence[Selection | str] = ("threshold", "exact")
    keep: Sequence[str] = ("hardest",)
    policies: Sequence[Arm | str] = ()
    keep_fractions: Sequence[float] = (0.1, 0.3)
    exploit: float = 0.5
    balance: str = "none"
    repeats: int = 10
    epoch: int | None = None
    gradient: str = "full"
    n_train: int | None = None
    label_noise: float = 0.0
    imbalance: float = 1.0
    validation: float = 0.0
    model: str = "mlp"
    training: Training = USUAL

    def __post_init__(self) -> None:
        check_integer("repeats", self.repeats, 2)
        check_seed(self.seed)
        for fraction in self.keep_fractions:
            check_number("keep_fraction", fraction, "(0, 1]")
        for name in ("keep_fractions", "scores", "selections", "keep", "policies"):
            self._check_list(name)
        check_scope(self.gradient, self.members)
        Look(self.members, self.gradient).check()
        for score in self.members:
            check_epoch(self.score_epoch, self.training, score)
        check_number("exploit", self.exploit, "[0, 1]")
        check_choice("balance", self.balance, ALL_BALANCES)
        for end in self.keep:
            check_choice("keep", end, ENDS)
        _ = self.arms  # refuses a selection that keeps no fixed count
        check_number("label_noise", self.label_noise, "[0, 1]")
        check_number("imbalance", self.imbalance, "[1, inf)")
        check_number("validation", self.validation, "[0, 1)")
        if self.n_train is not None:
            check_integer("n_train", self.n_train, 1)

    def _check_list(self, name: str) -> None:
        entries = getattr(self, name)
        if len(set(entries)) < len(entries) or (not entries and name not in MAY_BE_EMPTY):
            raise InvalidArgumentError(
                f"{name} must be a list of distinct entries; got {list(entries)!r}."
            )

    @property
    def members(self) -> tuple[Score, ...]:
        """The scores that networks compute."""
        found = self._ranking
        found += [arm.score for arm in self._single if arm.score and arm.score is not GIVEN]
        return tuple(dict.fromkeys(found))

    @property
    def _ranking(self) -> list[Score]:
        """The scores of which all combinations are compared."""
        return [one if isinstance(one, Score) else SCORES[one] for one in self.scores]

    @property
    def has_rules(self) -> bool:
        """Whether there is a rule beside random pruning."""
        return bool(self.scores or self.given or self.policies)

    @property
    def _single(self) -> list[Arm]:
        """The policies."""
        known = {name: SCORES[name] for name in SCORES} | ({"given": GIVEN} if self.given else {})
        return [
            one if isinstance(one, Arm) else parse_policy(one, exploit=self.exploit, scores=known)
            for one in self.policies
        ]

    @property
    def score_epoch(self) -> int:
        """After which epoch networks score."""
        return max(self.training.epochs // 2, 1) if self.epoch is None else self.epoch

    @property
    def arms(self) -> list[Arm]:
        """Random, and every combination of selection, end and score that differs."""
        found = {"random": Arm("random", make_selection("random"))}
        if self.balance != "none":  # what any rule has to beat is plain random pruning
            name = f"random {self.balance}"
            how = "proportional" if self.balance == "explored" else self.balance
            found[name] = Arm(name, make_selection("random"), balance=how)
        scores = [*self._ranking, *([GIVEN] if self.given else [])]
        for text, end, score in product(self.selections, self.keep, scores):
            rule = make_selection(text, exploit=self.exploit)
            if "score" not in rule.uses:
                if rule.name != "random":
                    Arm(rule.label, rule)  # refuses what keeps no fixed count
                continue
            parts = [score.name, end if "keep" in rule.uses else "", rule.label]
            name = " ".join(part for part in parts if part)
            found.setdefault(name, Arm(name, rule, score, end, self.balance))
        for arm in self._single:
            found.setdefault(arm.name, arm)
        return list(found.values())

    def describe(self) -> dict[str, Any]:
        """For people: what the scores mean, and how networks are trained."""
        by_gradient = any(score.name == "grand" for score in self.members)
        return {
            "score_epochs": {score.name: self.score_epoch for score in self.members},
            "gradient": self.gradient if by_gradient else None,
            "training": asdict(self.training),
            "model": self.model,
            "seed": self.seed,
            "repeats": self.repeats,
            "balance": self.balance,
        }

    def key(self) -> dict[str, Any]:
        """All of the plan that can change a repeat's numbers, as plain values."""
        return {
            "arms": [
                {
                    "name": arm.name,
                    "selection": repr(arm.selection),
                    "score": None if arm.score is None else arm.score.name,
                    "keep": arm.keep,
                    "balance": arm.balance,
                }
                for arm in self.arms
            ],
            "scores": {score.name: code_hash(score.difficulty) for score in self.members},
            "keep_fractions": [float(fraction) for fraction in self.keep_fractions],
            "repeats": self.repeats,
            "seed": self.seed,
            "epoch": self.score_epoch,
            "gradient": self.gradient,
            "n_train": self.n_train,
            "label_noise": self.label_noise,
            "imbalance": self.imbalance,
            "validation": self.validation,
            "model": self.model,
            "training": asdict(self.training),
        }
