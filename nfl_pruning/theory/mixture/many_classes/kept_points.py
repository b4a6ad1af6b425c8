"""Many classes: which points of a mixture a selection keeps, and with which weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.problem import Problem
from nfl_pruning.scores.base import Context
from nfl_pruning.selections import PropensitySelection, RankSelection
from nfl_pruning.theory.mixture.many_classes.many_setting import LogitReads, ManySetting
from nfl_pruning.theory.mixture.many_classes.points import (
    Points,
    band_shares,
    labelled_points,
    pack,
    propensity_shares,
    root,
)
from nfl_pruning.theory.mixture.many_classes.prox import fitted
from nfl_pruning.theory.mixture.selecting import KNOWN, only_stratum, quota_fractions


def _samples(
    setting: ManySetting, n_given: int, n_points: int, seed: np.random.SeedSequence
) -> tuple[np.ndarray, ...]:
    """Standard points with each label that their component has.

    Returns:
        component, label and mass within the component, each (n,); zeta (n, P); eta (n, R).
    """
    law, n_outputs = setting.mixture.label_law, len(setting.outputs.basis)
    component, label, mass, points = labelled_points(law, n_points, n_given + n_outputs, seed)
    return component, label, mass, points[:, :n_given], points[:, n_given:]


def everyone(setting: ManySetting, n_points: int, seed: np.random.SeedSequence) -> Points:
    """All samples, with weight 1."""
    component, label, mass, zeta, eta = _samples(setting, 1, n_points, seed)
    fields = {"given": 0 * zeta, "eta": eta, "label": label, "own": np.zeros((len(eta), 1))}
    keep = [(np.ones(len(label)), 1.0)]
    return pack(keep, component, mass, fields, setting.mixture.n_components)


def kept(
    setting: ManySetting, reads: LogitReads, n_points: int, seed: np.random.SeedSequence
) -> Points:
    """The samples that the problem's selection keeps."""
    problem, mixture = setting.problem, setting.mixture
    probes = 1 if reads.folds is None else reads.folds.folds
    n_given = probes * reads.mean.shape[1]
    component, label, mass, zeta, eta = _samples(setting, n_given, n_points, seed)
    outputs, given, own = _read(reads, component, label, zeta)
    share = mixture.weights[component] * mass
    stratum = only_stratum(problem)
    if stratum is not None:
        parts = [(np.full(len(label), stratum.keep_probability), stratum.weight)]
    else:
        key = _key(setting, component, label, outputs @ reads.basis)
        parts = _selected(problem, key, label, share)
    fields = {"given": given, "eta": eta, "label": label, "own": own}
    return pack(parts, component, mass, fields, mixture.n_components)


def _read(
    reads: LogitReads, component: np.ndarray, label: np.ndarray, zeta: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The outputs that are scored, those of the given rows less their mean, and the own forces.

    Each of shape (n, P). The first of cross-fitted probes scores a sample; it moved the others.
    """
    if reads.folds is not None:
        law = reads.folds
        away = law.outputs(component, zeta.reshape(len(zeta), law.folds, -1))
        own = law.forces(component, label, away[:, 1:]).mean(axis=1)
        return law.mean[component] + away[:, 0], away.mean(axis=1), own
    given = np.einsum("npq,nq->np", root(reads.covariance)[component], zeta)
    raw = reads.mean[component] + given
    if reads.step is None:
        return raw, given, np.zeros((len(raw), 1))
    outputs, own = np.empty_like(raw), np.empty_like(raw)
    for c in range(len(reads.mean)):
        rows = np.flatnonzero(component == c)
        outputs[rows], own[rows] = fitted(raw[rows], label[rows], reads.step[c])
    return outputs, given, own


def _key(
    setting: ManySetting, component: np.ndarray, label: np.ndarray, logits: np.ndarray
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
