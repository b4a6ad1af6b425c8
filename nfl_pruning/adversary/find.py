"""Find a data law on which a score's pruning is not valid, or say how far that can be excluded."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
from scipy.stats import t as student

from nfl_pruning.adversary.certify import Certificate, certify
from nfl_pruning.adversary.laws import Law
from nfl_pruning.adversary.ranking import check_score, provably_constant, traceable
from nfl_pruning.adversary.search import search
from nfl_pruning.adversary.simulate import SimulatedGap, simulate_gap
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.experiments.scripts import load
from nfl_pruning.scores.base import SCORES, Score
from nfl_pruning.selections.base import ENDS
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_choice, check_kind, check_number, check_seed

FOUND, NONE_FOUND, NONE_EXISTS = "found", "none-found", "none-exists"
LEAST_GAP = 1e-3  # excess loss, in nats, below which a gap does not matter
CONFIDENCE = 0.99
ENOUGH = 2  # certified laws after which the search ends


@dataclass(frozen=True)
class Finding:
    """What the adversary came back with.

    Attributes:
        outcome: ``found``, ``none-found`` (in the family) or ``none-exists`` (provably).
        sentence: the outcome in words.
        score, keep, keep_fraction: the algorithm.
        certificate: of the law that was found, or of the best candidate.
        simulated: the gap on samples of that law.
        bound: with none found, an upper confidence bound (99 %, over all laws simulated) on the
            excess loss over random pruning at the simulated sample size; 0 with none existing.
        tried: number of laws that were examined.
    """

    outcome: str
    sentence: str
    score: str
    keep: str
    keep_fraction: float
    certificate: Certificate | None = None
    simulated: SimulatedGap | None = None
    bound: float | None = None
    tried: int = 0

    @property
    def comparison(self) -> str:
        """What the certified and the simulated number are, and why they may differ."""
        if self.certificate is None or self.simulated is None or not self.certificate.resolved:
            return ""
        shown = self.simulated
        text = (
            f"Certified is the limit of many samples; simulated is the excess over random pruning "
            f"on the same {shown.n_samples} samples."
        )
        if abs(shown.mean - self.certificate.gap) <= _quantile(shown, 1) * shown.error:
            return text
        why = (
            "near separability the direction of the fit settles slowly as samples grow"
            if self.certificate.binding
            else "terms of order 1/n"
        )
        return f"{text} They differ by more than their errors: {why}."

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        known = {
            "outcome": self.outcome, "sentence": self.sentence, "score": self.score,
            "keep": self.keep, "keep_fraction": self.keep_fraction, "bound": self.bound,
            "laws_tried": self.tried, "comparison": self.comparison,
            "law": None, "certified": None, "simulated": None,
        }  # fmt: skip
        if self.certificate is not None:
            c = self.certificate
            known["law"] = c.law.to_dict()
            known["certified"] = {
                "gap": c.gap, "error_estimate": c.error, "zero_one_gap": c.error_gap,
                "best_parameter": c.best, "limiting_parameter": c.student,
                "on_the_ball": c.binding, "resolved": c.resolved,
            }  # fmt: skip
        if self.simulated is not None:
            known["simulated"] = self.simulated._asdict()
        return known


def _module(name: str, folder: Path | None) -> ModuleType:
    """A user's module, and what it imports of its own folder."""
    if folder is None or not (path := folder / f"{name}.py").is_file():
        return import_module(name)
    return load(path)


def load_score(text: str, *, folder: Path | None = None) -> Score:
    """A registered score by name, or a user's by ``module:function``.

    The function takes (logits, labels, context) and returns one number a sample, larger = harder;
    every entry of the context is filled.

    Args:
        text: the name, or module and function.
        folder: where a file ``module.py`` is looked for before Python's own path, which stays as
            it is.

    Raises:
        InvalidArgumentError: there is no such score, module or function.
    """
    if ":" not in text:
        return SCORES[text]
    module, _, name = text.partition(":")
    try:
        found = getattr(_module(module, folder), name)
    except AttributeError:
        raise InvalidArgumentError(
            f"score must name a function of its module; got {text!r}."
        ) from None
    except Exception as reason:  # whatever the user's module raises
        why = (str(reason) or type(reason).__name__).splitlines()[0]
        raise InvalidArgumentError(
            f"score's module cannot be imported ({why}); got {text!r}."
        ) from None
    if isinstance(found, Score):
        return found
    if not callable(found):
        raise InvalidArgumentError(f"score must name a function; got {text!r}.")
    return Score(text, cast(Any, found), label_aware=True)


@with_own_settings
def find_adversary(
    score: Score | str, keep_fraction: float, *, keep: str = "hardest", seed: int = 0,
    effort: int = 6,
) -> Finding:  # fmt: skip
    """Search the family for a law on which keeping by the score has a limiting gap.

    Args:
        score: registered name, ``module:function``, or a :class:`Score`.
        keep_fraction: r, in (0, 1).
        keep: which end stays.
        seed: of the starting points and the simulation, a whole number in [0, 2^32).
        effort: starting points of the search.

    Raises:
        InvalidArgumentError: an argument is out of range, or the score cannot be evaluated.
    """
    score = load_score(score) if isinstance(score, str) else score
    check_kind("score", score, Score)
    keep_fraction = check_number("keep_fraction", keep_fraction, "(0, 1)")
    check_choice("keep", keep, ENDS)
    check_seed(seed)
    check_score(score)
    about = {"score": score.name, "keep": keep, "keep_fraction": keep_fraction}
    if provably_constant(score):
        return Finding(
            NONE_EXISTS,
            "None exists: no input reaches the score's value, so all samples tie under every law "
            "and ties are broken at random; this is random pruning, which is valid.",
            **about, bound=0.0,
        )  # fmt: skip
    laws = search(score, keep_fraction, keep=keep, seed=seed, starts=effort)
    certificates, good = _certify_all(laws, score, keep_fraction, keep)
    for best in sorted(good, key=lambda c: (c.binding, -c.gap))[:ENOUGH]:
        shown = simulate_gap(best.law, score, keep_fraction, keep=keep, seed=seed)
        if shown.mean > _quantile(shown, 1) * shown.error:
            where = " (on the ball's boundary: the kept samples are separable or nearly so)"
            return Finding(
                FOUND,
                f"Found: on this law the excess loss tends to {best.gap:.4g} "
                f"(+- {best.error:.1g}){where if best.binding else ''}, while random pruning's "
                "tends to 0.",
                **about, certificate=best, simulated=shown, tried=len(certificates),
            )  # fmt: skip
    return _none_found(score, certificates, about, seed)


def _certify_all(
    laws: list[Law], score: Score, keep_fraction: float, keep: str
) -> tuple[list[Certificate], list[Certificate]]:
    """Certificates of the laws until enough of them have a gap; all of them, and those with one."""
    certificates, good = [], []
    for law in laws:
        certificates.append(certify(law, score, keep_fraction, keep))
        last = certificates[-1]
        if last.resolved and last.gap > max(LEAST_GAP, 5 * last.error):
            good.append(last)
        if sum(not c.binding for c in good) >= ENOUGH:
            break
    return certificates, good


def _quantile(shown: SimulatedGap, laws: int) -> float:
    return float(student.isf((1 - CONFIDENCE) / laws, shown.repeats - 1))


def _none_found(
    score: Score, certificates: list[Certificate], about: dict[str, Any], seed: int
) -> Finding:
    best, shown, bound = None, None, -np.inf
    for certificate in certificates:
        found = simulate_gap(
            certificate.law, score, about["keep_fraction"], keep=about["keep"], seed=seed
        )
        upper = found.mean + _quantile(found, len(certificates)) * found.error
        if upper > bound:
            best, shown, bound = certificate, found, upper
    why = "" if traceable(score) else " (the score cannot be differentiated: starting laws alone)"
    return Finding(
        NONE_FOUND,
        f"None found in the family{why}: over {len(certificates)} laws the excess loss over random "
        f"pruning's is below {max(bound, 0):.2g} with 99 % confidence, at "
        f"{shown.n_samples if shown else 0} samples.",
        **about, certificate=best, simulated=shown, bound=float(max(bound, 0)),
        tried=len(certificates),
    )  # fmt: skip
