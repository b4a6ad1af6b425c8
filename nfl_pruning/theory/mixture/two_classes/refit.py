"""The selection and the refit of a two-class problem."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.losses import LOSSES
from nfl_pruning.numerics.programs import elementwise
from nfl_pruning.scores.base import Context, binary_logits
from nfl_pruning.selections import PropensitySelection, RankSelection, Stratum
from nfl_pruning.theory.mixture.closing import Given
from nfl_pruning.theory.mixture.selecting import KNOWN, only_stratum, quota_fractions
from nfl_pruning.theory.mixture.two_classes.orders import MarginOrder, kind_of
from nfl_pruning.theory.mixture.two_classes.pair_setting import (
    MarginReads,
    PairSetting,
    operator_shape,
    populations_of,
    rows_read,
)
from nfl_pruning.theory.mixture.two_classes.populations import (
    KeptPart,
    Populations,
    by_propensity,
    by_rank,
    check_mass,
    uniform,
)
from nfl_pruning.theory.mixture.two_classes.stages import Builder
from nfl_pruning.theory.selection_law.level_sets import GeneralOrder


def unpruned_builder(setting: PairSetting, *, ridge: float, samples_per_feature: float) -> Builder:
    """A logistic fit to all samples: what pilot and in-sample probes are."""
    problem = setting.problem
    return _blind(
        setting, Stratum(1.0, 1.0), loss=LOSSES["logistic"], ridge=ridge,
        samples_per_feature=samples_per_feature, free=problem.student.intercept,
    )  # fmt: skip


def _blind(setting: PairSetting, stratum: Stratum, **fit: Any) -> Builder:
    """A fit to samples that no probe chose: it reads the teacher's row, if anything."""
    geometry = setting.space.geometry
    law = populations_of(setting, None)
    if setting.taught:  # zeta is the teacher's own margin; it says how probable a label is
        row = setting.teacher_row()
        covariance = geometry.overlap(row, row)
        given = Given(row, np.zeros(operator_shape(geometry, 1, 1)))
        reads = MarginReads(given, geometry.means @ row.T, covariance, _nothing, _nothing)
        bare = Populations(law.component, law.sign, law.mass)
        parts = [_labelled(law, j, stratum) for j in law.labels]
        return Builder(setting, reads, bare, parts, taught=False, sharp_of=law, **fit)
    row = np.zeros((1, geometry.means.shape[1]))
    reads = MarginReads(*rows_read(setting, row, 0.0, None), _nothing, _nothing)
    return Builder(setting, reads, law, [uniform(stratum)] * len(law.labels), taught=False, **fit)


def _nothing(component: int, sign: int, zeta: np.ndarray) -> np.ndarray:
    """Nobody asks for the logit of a probe that does not choose."""
    return zeta


def _labelled(law: Populations, j: int, stratum: Stratum) -> KeptPart:
    """Samples of one label, kept with one probability, as a function of the teacher's margin."""

    def evaluate(zeta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probability = law._teacher(j).probability(int(law.sign[j]), zeta)[None]
        return stratum.keep_probability * probability, np.full_like(probability, stratum.weight)

    return KeptPart(law.jumps, evaluate)


def refit_builder(setting: PairSetting, reads: MarginReads | None) -> Builder:
    """The fit to the kept samples."""
    problem = setting.problem
    student = problem.student
    fit = {
        "loss": student.loss,
        "ridge": student.ridge,
        "samples_per_feature": problem.samples_per_feature,
        "free": student.intercept,
    }
    stratum = only_stratum(problem)
    if stratum is not None:
        return _blind(setting, stratum, **fit)
    assert reads is not None
    law = populations_of(setting, reads)
    parts = kept_parts(setting, reads, law)
    return Builder(setting, reads, law, parts, taught=setting.taught, **fit)


def kept_parts(setting: PairSetting, reads: MarginReads, law: Populations) -> list[KeptPart]:
    """What the problem's selection keeps of each population."""
    problem = setting.problem
    if problem.balance == "none":
        parts = _select(setting, reads, law, problem.keep_fraction)
        check_mass(law, parts, problem.keep_fraction)
        return parts
    parts: list[Any] = [None] * len(law.labels)
    for sign, fraction in class_fractions(law, problem.keep_fraction, problem.balance).items():
        part, rows = law.of_class(sign)
        if fraction == 0:
            for row in rows:
                parts[row] = uniform(Stratum(1.0, 0.0))
            continue
        chosen = _select(setting, reads, part, fraction)
        check_mass(part, chosen, fraction)
        for row, one in zip(rows, chosen, strict=True):
            parts[row] = one
    return parts


def class_fractions(law: Populations, keep_fraction: float, balance: str) -> dict[int, float]:
    """The share of each class, by its sign, that a quota keeps."""
    masses = {s: law.of_class(s)[0] for s in (-1, 1)}
    shares = {
        s: sum(float(law.between(j, -9.5, 9.5)) for j in law.labels if law.sign[j] == s)
        for s in masses
    }
    by_code = {(s + 1) // 2: share for s, share in shares.items()}
    fractions = quota_fractions(by_code, keep_fraction, balance)
    return {2 * code - 1: fraction for code, fraction in fractions.items()}


def _select(
    setting: PairSetting, reads: MarginReads, law: Populations, keep_fraction: float
) -> list[KeptPart]:
    problem = setting.problem
    sign = 1 if problem.keep == "hardest" else -1
    if isinstance(problem.selection, PropensitySelection):
        return by_propensity(law, _key(setting, reads, law), problem.selection, keep_fraction)
    if not isinstance(problem.selection, RankSelection):
        raise UnsupportedProblemError(f"Protocol {problem.selection.name!r} has no known limit.")
    strata = problem.selection.strata(keep_fraction)
    if len(strata) == 1:
        return [uniform(strata[0])] * len(law.labels)
    return by_rank(law, _order(setting, reads, law, sign), strata)


def _order(setting: PairSetting, reads: MarginReads, law: Populations, sign: int) -> Any:
    """The priority order, recognised from the score's own values where it is a plain one."""
    score = setting.problem.ranking_score
    if not score.needs:
        ends = [_margin(reads, law, j, np.array([-9.5, 9.5])) for j in law.labels]
        largest = 2.0 ** np.ceil(np.log2(np.abs(ends).max()))
        kind = kind_of(score, float(min(largest, 512.0)))
        if kind != "other":
            return MarginOrder(
                law, partial(_margin, reads, law), partial(_inverse, reads, law), sign,
                size=kind == "size",
            )  # fmt: skip
    return GeneralOrder(law, _key(setting, reads, law), sign)


def _margin(reads: MarginReads, law: Populations, j: int, zeta: np.ndarray) -> np.ndarray:
    return reads.margin(int(law.component[j]), int(law.sign[j]), zeta)


def _inverse(reads: MarginReads, law: Populations, j: int, h: np.ndarray) -> np.ndarray:
    return reads.inverse(int(law.component[j]), int(law.sign[j]), h)


@partial(jax.jit, static_argnames="score")
def _evaluate(score: Any, margins: Any, label: Any, norm: Any, component: Any, right: Any) -> Any:
    def full(value: Any) -> Any:
        return jnp.full(margins.shape, value)

    context = Context(full(norm), component=full(component), label_is_right=full(right))
    return score.rank_key(binary_logits(margins), full(label), context)


def _key(setting: PairSetting, reads: MarginReads, law: Populations) -> Callable:
    """(population, zeta) -> rank key, the registered score called unchanged."""
    score, mixture = setting.problem.ranking_score, setting.mixture
    missing = sorted(score.needs - (KNOWN - {"label_is_right"} if setting.taught else KNOWN))
    if missing:
        raise UnsupportedProblemError(
            f"The score {score.name!r} needs {' and '.join(missing)}, which the limit of this "
            "mixture does not describe."
        )
    right = np.zeros(mixture.n_components, int) if setting.taught else mixture.likeliest

    def key(j: int, zeta: np.ndarray) -> np.ndarray:
        c, label = int(law.component[j]), int(law.sign[j] > 0)
        margins = _margin(reads, law, j, np.asarray(zeta, float))
        rest = (label, setting.space.norm[c], c, bool(right[c] == label))
        with jax.enable_x64(True):
            values = elementwise(lambda h: _evaluate(score, h, *rest), margins)
        if not np.isfinite(values).all():
            raise UnsupportedProblemError(
                f"The score {score.name!r} is not finite on all probe margins."
            )
        return values

    return key
