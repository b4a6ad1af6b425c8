"""The limit for three classes and more: quasi-Monte Carlo moments, Anderson-accelerated rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.inputs.mixture import Mixture
from nfl_pruning.probes import InSampleProbe, PilotProbe, WeightsProbe
from nfl_pruning.problem import Problem
from nfl_pruning.scores.base import Context
from nfl_pruning.selections import PropensitySelection, RankSelection
from nfl_pruning.theory.mixture.anderson import fixed_point
from nfl_pruning.theory.mixture.closing import Fit, Given, State
from nfl_pruning.theory.mixture.points import (
    Points,
    band_shares,
    normal_points,
    pack,
    propensity_shares,
)
from nfl_pruning.theory.mixture.prox import Outputs, contrast_basis, derivatives, proximal
from nfl_pruning.theory.mixture.quotas import quota_fractions
from nfl_pruning.theory.mixture.refit import KNOWN, only_stratum
from nfl_pruning.theory.mixture.rounds import Terms, at_rest, one_round, sizes, unpack
from nfl_pruning.theory.mixture.rounds import pack as flat
from nfl_pruning.theory.mixture.space import Space, space_of
from nfl_pruning.theory.mixture.two_classes import operator_shape

TOLERANCE = 1e-5  # of the fixed point, scaled
LADDER = (100.0, 30.0, 10.0, 3.0, 1.0)


@dataclass(frozen=True)
class Setting:
    """A problem's parts that all stages share."""

    problem: Problem
    mixture: Mixture
    space: Space
    outputs: Outputs


@dataclass(frozen=True)
class Stage:
    """A fit that was solved for.

    Attributes:
        state: law of its outputs. fit: its parameter. converged: whether the search ended.
        residual: largest scaled change. steps: rounds taken.
    """

    state: State
    fit: Fit
    converged: bool
    residual: float
    steps: int


@dataclass(frozen=True)
class Reads:
    """The probe's rows and the law of its raw outputs z; see ``two_classes.Reads``.

    Attributes:
        given: rows and noise. mean: shape (C, P). covariance: shape (C, P, P).
        basis: logits are z @ basis, shape (P, K).
        step: kappa of a probe that was fitted on the samples, shape (C, P, P); None of another.
    """

    given: Given
    mean: np.ndarray
    covariance: np.ndarray
    basis: np.ndarray
    step: np.ndarray | None = None


def setting_of(problem: Problem) -> Setting:
    """The setting of a problem whose inputs are a mixture of three classes or more."""
    mixture = problem.inputs
    assert isinstance(mixture, Mixture)
    name = problem.student.loss.name
    outputs = Outputs.of(mixture.n_classes, squared=name == "squared")
    return Setting(problem, mixture, space_of(mixture), outputs)


def no_reads(setting: Setting) -> Reads:
    """Nothing is read: a row of zeros."""
    geometry = setting.space.geometry
    n, d = geometry.means.shape
    given = Given(np.zeros((1, d)), np.zeros(operator_shape(geometry, 1, 1)))
    return Reads(given, np.zeros((n, 1)), np.zeros((n, 1, 1)), np.zeros((1, 1)))


def probe_reads(
    setting: Setting, n_points: int, seed: np.random.SeedSequence, warm: State | None
) -> tuple[Reads | None, Stage | None]:
    """What the selection reads of the probe, and the probe's own fit where it was fitted."""
    problem, probe = setting.problem, setting.problem.probe
    if only_stratum(problem) is not None:
        return no_reads(setting), None
    if isinstance(probe, WeightsProbe):
        return _fixed_reads(setting, probe), None
    if not isinstance(probe, PilotProbe | InSampleProbe):
        raise UnsupportedProblemError(
            f"The limit of a mixture is not known for the probe {probe.label!r}; it takes fixed "
            "weights, pilot and in-sample probes."
        )
    inside = isinstance(probe, InSampleProbe)
    spf = problem.samples_per_feature if inside else probe.samples_per_feature
    softmax = replace(setting, outputs=Outputs.of(setting.mixture.n_classes, squared=False))
    points = everyone(softmax, n_points, seed)
    terms = _terms(softmax, no_reads(softmax), points, probe.ridge, spf)
    stage = solve_stage(softmax, terms, warm)
    if not stage.converged:
        return None, stage
    geometry = setting.space.geometry
    rows, fit = np.asarray(stage.fit.rows), stage.fit
    covariance = np.array(stage.state.covariance)
    inverse = np.asarray(fit.inverse) if inside else None
    given = Given(rows, np.asarray(fit.noise), inverse)
    mean = geometry.means @ rows.T + np.asarray(fit.intercept)
    step = np.asarray(stage.state.step) if inside else None
    return Reads(given, mean, covariance, softmax.outputs.matrix, step), stage


def _fixed_reads(setting: Setting, probe: WeightsProbe) -> Reads:
    """The rows of fixed weights; without their common shift where they have none."""
    geometry, k = setting.space.geometry, setting.mixture.n_classes
    weights = np.asarray(probe.weights, float)
    intercepts = np.broadcast_to(np.asarray(probe.intercepts, float), (k,))
    d = setting.mixture.means.shape[1]
    rows = setting.space.rows(np.pad(weights, ((0, 0), (0, d - weights.shape[1]))))
    basis = np.eye(k)
    shift = np.abs(rows.sum(0)).max() / max(np.abs(rows).max(), 1e-300)
    if shift < 1e-12 and abs(intercepts.sum()) < 1e-12 * max(np.abs(intercepts).max(), 1e-300):
        basis = contrast_basis(k)
        rows, intercepts = basis @ rows, basis @ intercepts
    covariance = geometry.overlap(rows, rows)
    given = Given(rows, np.zeros(operator_shape(geometry, len(rows), len(rows))))
    return Reads(given, geometry.means @ rows.T + intercepts, covariance, basis)


def _samples(
    setting: Setting, n_given: int, n_points: int, seed: np.random.SeedSequence
) -> tuple[np.ndarray, ...]:
    """Standard points with each label that their component has.

    Returns:
        component, label and mass within the component, each (n,); zeta (n, P); eta (n, R).
    """
    law, n_outputs = setting.mixture.label_law, len(setting.outputs.basis)
    rows = []
    for c, child in enumerate(seed.spawn(len(law))):
        points = normal_points(n_points, n_given + n_outputs, child)
        for label in np.flatnonzero(law[c]):
            rows.append((c, label, law[c, label] / n_points, points))
    component, label, mass = (
        np.concatenate([np.full(n_points, row[i]) for row in rows]) for i in range(3)
    )
    points = np.concatenate([row[3] for row in rows])
    return component, label.astype(int), mass, points[:, :n_given], points[:, n_given:]


def everyone(setting: Setting, n_points: int, seed: np.random.SeedSequence) -> Points:
    """All samples, with weight 1."""
    component, label, mass, zeta, eta = _samples(setting, 1, n_points, seed)
    fields = {"given": 0 * zeta, "eta": eta, "label": label, "own": np.zeros((len(eta), 1))}
    keep = [(np.ones(len(label)), 1.0)]
    return pack(keep, component, mass, fields, setting.mixture.n_components)


def kept(setting: Setting, reads: Reads, n_points: int, seed: np.random.SeedSequence) -> Points:
    """The samples that the problem's selection keeps."""
    problem, mixture = setting.problem, setting.mixture
    component, label, mass, zeta, eta = _samples(setting, reads.mean.shape[1], n_points, seed)
    root = _roots(reads.covariance)
    given = np.einsum("npq,nq->np", root[component], zeta)
    outputs, own = _scored(reads, component, label, given, mixture.n_classes)
    share = mixture.weights[component] * mass
    stratum = only_stratum(problem)
    if stratum is not None:
        parts = [(np.full(len(label), stratum.keep_probability), stratum.weight)]
    else:
        key = _key(setting, component, label, outputs @ reads.basis)
        parts = _selected(problem, key, label, share)
    fields = {"given": given, "eta": eta, "label": label, "own": own}
    return pack(parts, component, mass, fields, mixture.n_components)


def _roots(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))[:, None, :]) @ np.swapaxes(vectors, 1, 2)


def _scored(
    reads: Reads, component: np.ndarray, label: np.ndarray, given: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """The probe's outputs that are scored, (n, P), and the sample's force in its probe, (n, P)."""
    raw = reads.mean[component] + given
    if reads.step is None:
        return raw, np.zeros((len(raw), 1))
    outputs, own = np.empty_like(raw), np.empty_like(raw)
    softmax = Outputs.of(n_classes, squared=False)
    for c in range(len(reads.mean)):
        rows = np.flatnonzero(component == c)
        with jax.enable_x64(True):
            h, f = _fitted(softmax, raw[rows].T, label[rows], np.linalg.inv(reads.step[c]))
        outputs[rows], own[rows] = np.asarray(h).T, np.asarray(f).T
    return outputs, own


@partial(jax.jit, static_argnums=0)
def _fitted(outputs: Outputs, v: Any, label: Any, inverse: Any) -> tuple[Any, Any]:
    h, _ = proximal(outputs, v, label, jnp.ones(v.shape[1]), inverse, v)
    return h, derivatives(outputs, h, label)[0]


def _key(
    setting: Setting, component: np.ndarray, label: np.ndarray, logits: np.ndarray
) -> np.ndarray:
    """The registered score's rank key of every sample, shape (n,)."""
    score, mixture = setting.problem.ranking_score, setting.mixture
    missing = sorted(score.needs - KNOWN)
    if missing:
        raise UnsupportedProblemError(
            f"The score {score.name!r} needs {' and '.join(missing)}, which the limit of a "
            "mixture does not describe."
        )
    right = mixture.likeliest[component] == label
    with jax.enable_x64(True):
        key = np.asarray(_rank_key(score, logits, label, setting.space.norm[component],
                                   component, right))  # fmt: skip
    if not np.isfinite(key).all():
        raise UnsupportedProblemError(f"The score {score.name!r} is not finite on all logits.")
    return key


@partial(jax.jit, static_argnums=0)
def _rank_key(score: Any, logits: Any, label: Any, norm: Any, component: Any, right: Any) -> Any:
    context = Context(input_norm=norm, component=component, label_is_right=right)
    return score.rank_key(logits, label, context)


def _selected(
    problem: Problem, key: np.ndarray, label: np.ndarray, share: np.ndarray
) -> list[tuple[np.ndarray, float | np.ndarray]]:
    """(keep probability, weight) of every sample, layers that add up."""
    if problem.balance == "none":
        return _select(problem, key, share, problem.keep_fraction)
    masses = {int(k): float(share[label == k].sum()) for k in np.unique(label)}
    layers: dict[int, list[np.ndarray]] = {}
    for k, fraction in quota_fractions(masses, problem.keep_fraction, problem.balance).items():
        if fraction == 0:
            continue
        rows = np.flatnonzero(label == k)
        for i, (keep, weight) in enumerate(
            _select(problem, key[rows], share[rows] / masses[k], fraction)
        ):
            pair = layers.setdefault(i, [np.zeros(len(label)), np.ones(len(label))])
            pair[0][rows], pair[1][rows] = keep, weight
    return [(keep, weight) for keep, weight in layers.values()]


def _select(
    problem: Problem, key: np.ndarray, share: np.ndarray, fraction: float
) -> list[tuple[np.ndarray, float | np.ndarray]]:
    selection = problem.selection
    if isinstance(selection, PropensitySelection):
        logs = np.asarray(selection.log_propensity(key), float)
        return [(propensity_shares(logs, share, fraction), 1.0)]
    if not isinstance(selection, RankSelection):
        raise UnsupportedProblemError(f"Protocol {selection.name!r} has no known limit.")
    sign = 1 if problem.keep == "hardest" else -1
    bands = band_shares(sign * key, share, selection.strata(fraction))
    return [(inside * band.keep_probability, band.weight) for inside, band in bands
            if band.keep_probability > 0]  # fmt: skip


def _terms(
    setting: Setting, reads: Reads, points: Points, ridge: float, samples_per_feature: float
) -> Terms:
    pseudo = np.linalg.pinv(reads.covariance, rcond=1e-10, hermitian=True)
    return Terms(setting.space.geometry, points, reads.given, pseudo, ridge, samples_per_feature)


def refit_terms(setting: Setting, reads: Reads, points: Points) -> Terms:
    """The terms of the fit to the kept samples."""
    problem = setting.problem
    return _terms(setting, reads, points, problem.student.ridge, problem.samples_per_feature)


def solve_stage(
    setting: Setting, terms: Terms, warm: State | None, *, tolerance: float = TOLERANCE
) -> Stage:
    """The law that a round gives back: from a neighbour's, from rest, or down the ridge."""
    rest = at_rest(terms, len(setting.outputs.basis))
    if warm is not None:
        stage = _iterate(setting, terms, warm, tolerance, cautious=False)
        if stage.converged:
            return stage
    stage = _iterate(setting, terms, rest, tolerance, cautious=True)
    if stage.converged:
        return stage
    state, steps = rest, stage.steps
    for multiple in LADDER:
        higher = terms._replace(ridge=terms.ridge * multiple)
        stage = _iterate(setting, higher, state, tolerance, cautious=True, most=120)
        steps += stage.steps
        state = stage.state
    return replace(stage, steps=steps)


def _iterate(
    setting: Setting,
    terms: Terms,
    start: State,
    tolerance: float,
    *,
    cautious: bool,
    most: int = 60,
) -> Stage:
    n, size = terms.points.mass.shape
    held: dict[str, Any] = {"h": np.zeros((n, len(setting.outputs.basis), size))}
    free = setting.problem.student.intercept

    def answer(x: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            new, fit, h, left = one_round(
                unpack(x, start), held["h"], terms, outputs=setting.outputs, free=free
            )
        held.update(h=h, fit=fit, state=new, left=float(left))
        return flat(new)

    first = flat(start)
    if np.all(start.mean == 0):  # from rest: the linear fit first
        first = answer(first)
    found = fixed_point(
        answer, first, lambda x: sizes(x, start), tolerance=tolerance, cautious=cautious, most=most
    )
    state = unpack(found.x, start)
    last = held["state"]
    good = found.converged and held["left"] < 1e-6
    return Stage(state._replace(intercept=last.intercept), held["fit"], good,
                 found.residual, found.steps)  # fmt: skip


Solver = Callable[[Setting, int, np.random.SeedSequence], Any]
