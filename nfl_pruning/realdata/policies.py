"""What can be done with a budget: a score, an end of it, and the share spent by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.scores.base import SCORES, Score
from nfl_pruning.selections import Selection, make_selection
from nfl_pruning.selections.base import ENDS
from nfl_pruning.validation import check_choice, check_number, format_number

SUPPLIED = frozenset({"input_norm"})  # what a mixture knows beside logits and labels
EXPLOITS = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Policy:
    """One way to prune to any fraction.

    Attributes:
        score: registered name; ``random`` for random pruning.
        keep: ``hardest`` or ``easiest``.
        exploit: share of the budget spent by score: 1 is a hard rule, below it the rest is drawn at
            random and weighted (exact calibration), 0 is random pruning.
    """

    score: str
    keep: str = "hardest"
    exploit: float = 1.0

    @property
    def label(self) -> str:
        """Name for tables: ``random``, ``el2n hardest`` or ``el2n hardest, half calibrated``."""
        if self.is_random:
            return "random"
        if self.exploit == 1:
            return f"{self.score} {self.keep}"
        return f"{self.score} {self.keep} exploit {format_number(self.exploit)}"

    @property
    def is_random(self) -> bool:
        """Whether no score matters."""
        return self.score == "random" or self.exploit == 0

    @property
    def selection(self) -> Selection:
        """The protocol."""
        if self.is_random:
            return make_selection("random")
        if self.exploit == 1:
            return make_selection("threshold")
        return make_selection("exact", exploit=self.exploit)


RANDOM = Policy("random", exploit=0.0)


def make_policies(
    scores: Sequence[str | Policy], exploits: Sequence[float] = EXPLOITS
) -> tuple[Policy, ...]:
    """Random pruning, and both ends and the calibrated hardest end of every score.

    Args:
        scores: names, each of which stands for its policies, or policies themselves.
        exploits: of the calibrated policies.

    Raises:
        InvalidArgumentError: a score that needs more than logits, labels and the input's norm.
    """
    found: dict[Policy, None] = {RANDOM: None}
    for entry in scores:
        if isinstance(entry, Policy):
            check_policy(entry)
            found[entry] = None
        elif entry != "random":
            check_score(entry)
            own = [Policy(entry, "hardest"), Policy(entry, "easiest")]
            own += [
                Policy(entry, "hardest", check_number("exploit", e, "(0, 1)")) for e in exploits
            ]
            found |= dict.fromkeys(own)
    return tuple(found)


def check_policy(policy: Policy) -> None:
    """Raise where a policy cannot be predicted."""
    if not policy.is_random:
        check_score(policy.score)
    check_choice("keep", policy.keep, ENDS)
    check_number("exploit", policy.exploit, "[0, 1]")


def check_score(name: str) -> Score:
    """The score; raises where a mixture cannot supply what it needs."""
    score = SCORES[name]
    missing = sorted(score.needs - SUPPLIED)
    if missing:
        raise InvalidArgumentError(
            f"scores must need logits, labels and input_norm alone; {name} needs "
            f"{' and '.join(missing)}: nfl-pruning compare measures such scores."
        )
    return score
