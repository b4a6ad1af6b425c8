"""Scoring real data: which model scores, what it has seen, and the scores that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from nfl_pruning.data.dataset import Dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.multinomial import (
    SCALES,
    Multinomial,
    fit_multinomial,
    fit_scaling,
    stratified_rows,
)
from nfl_pruning.scores.base import SCORES, Score
from nfl_pruning.scores.evaluate import evaluate
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_choice, check_number, format_number

PROBE_FORM = "probe must be in-sample, pilot or pilot:FRACTION with FRACTION in (0, 0.5]"
LARGEST = 1e9  # squares of it are still exact enough to fit with
SUPPLIED = frozenset({"input_norm", "features", "gradient_norm", "gap_gradient", "prototypes"})


@dataclass(frozen=True)
class DataProbe:
    """How the model that scores real data is fitted: multinomial logistic regression either way.

    Attributes:
        fraction: share of each class in the pilot split, in (0, 0.5]. Pilot rows stay part of the
            data and may be kept: they are scored by a second probe, fitted on another split of
            the same size, so no sample is scored by a model that has seen it. None: in-sample, one
            probe fitted on all samples, which then scores those same samples.
        ridge: penalty of the probe, > 0 (see
            :func:`nfl_pruning.pruning.multinomial.fit_multinomial`).
        scale: how features are scaled before the fit, with moments of all rows and no label
            (see :func:`nfl_pruning.pruning.multinomial.fit_scaling`).
    """

    fraction: float | None = 0.2
    ridge: float = 0.01
    scale: str = "auto"

    @property
    def label(self) -> str:
        """The command line's form."""
        return "in-sample" if self.fraction is None else f"pilot:{format_number(self.fraction)}"

    @property
    def sentence(self) -> str:
        """What was done, for people."""
        model = f"multinomial logistic regression, ridge {format_number(self.ridge)}"
        if self.fraction is None:
            return f"{model}, fitted on all samples and scoring those same samples (in-sample)."
        share = format_number(round(100 * self.fraction, 10))
        return (
            f"{model}, fitted on a pilot split of {share} % of each class. Pilot rows may be "
            "kept: a second probe, from another split of that size, scores them, so that no sample "
            "is scored by a model that has seen it."
        )


def parse_data_probe(text: str, *, ridge: float = 0.01, scale: str = "auto") -> DataProbe:
    """A probe from its text form: ``in-sample``, ``pilot`` or ``pilot:FRACTION``."""
    ridge = check_number("probe ridge", ridge, "(0, inf)")
    check_choice("scale", scale, SCALES)
    kind, *parts = text.split(":")
    if text == "in-sample":
        return DataProbe(None, ridge, scale)
    if kind != "pilot" or len(parts) > 1:
        raise InvalidArgumentError(f"{PROBE_FORM}; got {text!r}.")
    try:
        fraction = check_number("fraction", parts[0], "(0, 0.5]") if parts else 0.2
    except InvalidArgumentError:
        raise InvalidArgumentError(f"{PROBE_FORM}; got {text!r}.") from None
    return DataProbe(fraction, ridge, scale)


@dataclass(frozen=True)
class Scored:
    """Scores of n samples.

    Attributes:
        rank_key: what samples are ranked by, float64, shape (n,); larger = harder.
        values: the same in the units of the literature, float64, shape (n,).
        converged: whether every probe's optimiser reached its tolerance.
        accuracy: share of rows that a probe, fitted to other rows, classifies right; None without
            a probe.
    """

    rank_key: np.ndarray
    values: np.ndarray
    converged: bool = True
    accuracy: float | None = None


class Outputs(NamedTuple):
    """What the probes say of n samples.

    Attributes:
        logits: shape (n, C).
        gaps: norm of the input gradient of (largest logit - logit k), shape (n, C).
        converged: whether the fits reached their tolerance.
    """

    logits: np.ndarray
    gaps: np.ndarray
    converged: bool


def _outputs(model: Multinomial, x: np.ndarray) -> Outputs:
    logits, columns = model.logits(x), model.coefficients.T.astype(np.float64)
    between = np.linalg.norm(columns[:, None] - columns, axis=-1)  # classes by classes
    return Outputs(logits, between[logits.argmax(axis=1)], model.converged)


def probe_outputs(
    rng: np.random.Generator, x: np.ndarray, dataset: Dataset, *, probe: DataProbe
) -> Outputs:
    """Logits of every sample, by a probe that is fitted as ``probe`` says.

    Args:
        rng: chooses the pilot splits.
        x: scaled features of the data set, shape (n, d).
        dataset: gives the labels.
        probe: how to fit.
    """
    fit = partial(fit_multinomial, n_classes=len(dataset.classes), ridge=probe.ridge)
    if probe.fraction is None:
        return _outputs(fit(x, dataset.y), x)
    first, second = stratified_rows(rng, dataset.y, probe.fraction, 2, names=dataset.classes)
    found = _outputs(fit(x[first], dataset.y[first]), x)
    other = _outputs(fit(x[second], dataset.y[second]), x[first])
    found.logits[first], found.gaps[first] = other.logits, other.gaps
    return found._replace(converged=found.converged and other.converged)


def unseen_accuracy(
    rng: np.random.Generator,
    x: np.ndarray,
    dataset: Dataset,
    *,
    probe: DataProbe,
    logits: np.ndarray,
) -> float | None:
    """Accuracy on rows that the probe has not seen; None where there are none.

    Pilot probes have seen no row that they score. For an in-sample probe one more is fitted, on a
    pilot split of the usual size, and tested on all other rows.

    Args:
        rng: chooses that split.
        x: scaled features, shape (n, d).
        dataset: gives the labels.
        probe: how to fit.
        logits: that the scores are made of, shape (n, C).
    """
    y = dataset.y
    if probe.fraction is not None:
        return float((logits.argmax(axis=1) == y).mean())
    (fitted,) = stratified_rows(rng, y, DataProbe().fraction or 0.2)
    rest = np.setdiff1d(np.arange(len(y)), fitted)
    if not len(rest):
        return None
    model = fit_multinomial(x[fitted], y[fitted], n_classes=len(dataset.classes), ridge=probe.ridge)
    return float((model.logits(x[rest]).argmax(axis=1) == y[rest]).mean())


def prototypes(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """k-means centres of the features, shape (count, width)."""
    from sklearn.cluster import KMeans

    model = KMeans(count, n_init="auto", random_state=seed).fit(features)
    return np.asarray(model.cluster_centers_)


def check_needs(score: Score) -> None:
    """Raise when a linear probe cannot supply what the score needs."""
    missing = sorted(score.needs - SUPPLIED)
    if missing:
        raise InvalidArgumentError(
            f"score {score.name!r} needs {' and '.join(missing)}, which a linear probe does not "
            "have; compute it elsewhere and prune by those scores."
        )


@with_own_settings
def score_dataset(key: jax.Array, dataset: Dataset, *, score: Score, probe: DataProbe) -> Scored:
    """Score every sample of a data set through a linear probe.

    The context holds the scaled features, their norm over sqrt(d), the norm of the probe's
    gradient, intercept included (EL2N times ``sqrt(||x||^2 + 1)``), the gradients of logit gaps,
    and k-means centres of the scaled features, one a class.

    Args:
        key: PRNG key that chooses the pilot splits.
        dataset: n samples.
        score: what to compute.
        probe: how to fit the model that scores.

    Raises:
        InvalidArgumentError: the score needs what a linear probe lacks, or is not finite.
    """
    check_needs(score)
    n = len(dataset)
    if score is SCORES["random"]:
        return Scored(np.zeros(n), np.zeros(n))
    seed = np.asarray(jax.random.key_data(key))
    rng = np.random.default_rng(seed)
    scaling = fit_scaling(dataset.x, probe.scale, is_image=dataset.is_image)
    x = scaling(dataset.x)
    if np.abs(x).max() > LARGEST:
        raise InvalidArgumentError(
            f"features must be at most {LARGEST:g} in size for a probe, once scaled; scale "
            f"{scaling.kind} leaves {np.abs(x).max():.3g}."
        )
    logits, gaps, converged = probe_outputs(rng, x, dataset, probe=probe)
    squared_norm = np.einsum("ij,ij->i", x, x, dtype=np.float64)
    entries: dict[str, Any] = {
        "input_norm": np.sqrt(squared_norm / x.shape[1]),
        "features": x,
        "gap_gradient": gaps,
    }
    if "gradient_norm" in score.needs:
        error = evaluate(SCORES["el2n"], logits, dataset.y, {})[1]
        entries["gradient_norm"] = error * np.sqrt(squared_norm + 1)
    if "prototypes" in score.needs:
        entries["prototypes"] = prototypes(x, len(dataset.classes), int(rng.integers(2**31)))
    rank_key, values = evaluate(score, logits, dataset.y, entries)
    bad = int(n - np.isfinite(rank_key).sum())
    if bad:
        raise InvalidArgumentError(f"score {score.name!r} is not finite for {bad} of {n} samples.")
    accuracy = unseen_accuracy(
        np.random.default_rng([*seed.tolist(), 1]), x, dataset, probe=probe, logits=logits
    )
    return Scored(rank_key, values, converged, accuracy)
