"""Scores from the logits and embeddings of the user's own model."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from nfl_pruning.data.arrays import as_array
from nfl_pruning.data.dataset import Dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.probing import Scored, prototypes
from nfl_pruning.scores.base import SCORES, Score
from nfl_pruning.scores.evaluate import evaluate
from nfl_pruning.validation import check_seed

NUMBERS_PER_CHUNK = 2**24
SUPPLIED = frozenset({"trajectory", "input_norm", "features", "prototypes", "gradient_norm"})
OF_EMBEDDINGS = frozenset({"input_norm", "features", "prototypes", "gradient_norm"})


def score_logits(
    dataset: Dataset,
    logits: Any = None,
    *,
    score: str | Score = "el2n",
    embeddings: Any = None,
    seed: int = 0,
) -> Scored:
    """Score every sample by what the user's own model says of it; larger = harder.

    Args:
        dataset: gives the labels, n of them.
        logits: before the softmax, shape (n, C), or over training, shape (epochs, n, C), rows in
            the order of the data. Column k is class k of the data; where the labels are whole
            numbers from 0, column k is the label k, and there may be more columns than labels.
            Scores of one moment are averaged over epochs; forgetting and aum need them. None for
            scores that do not read them, such as prototypicality.
        score: a registered name, or a score.
        embeddings: what the last layer reads, shape (n, width): for prototypicality (distance to
            the nearest of C k-means centres) and for grand, which then is that of the last layer,
            bias included: EL2N times ``sqrt(||embedding||^2 + 1)``.
        seed: of the k-means.

    Raises:
        InvalidArgumentError: shapes that do not fit, probabilities in place of logits, numbers
            that are not finite, or a score that needs more than this.
    """
    member = SCORES[score] if isinstance(score, str) else score
    _check_needs(member, logits, embeddings)
    path = None if logits is None else _logits(logits, len(dataset))
    columns = len(dataset.classes) if path is None else path.shape[-1]
    labels = _labels(dataset, columns)
    features = None if embeddings is None else _embeddings(embeddings, len(dataset))
    centres = None
    if "prototypes" in member.needs and features is not None:
        centres = prototypes(np.asarray(features, float), len(dataset.classes), check_seed(seed))
    rows = max(NUMBERS_PER_CHUNK // (columns * (1 if path is None else len(path))), 1)
    keys, values = np.empty(len(dataset)), np.empty(len(dataset))
    for start in range(0, len(dataset), rows):
        part = slice(start, start + rows)
        some = np.zeros((1, len(labels[part]), columns)) if path is None else path[:, part]
        held = None if features is None else np.asarray(features[part], float)
        keys[part], values[part] = _of_chunk(member, some, labels[part], held, centres)
    bad = int((~np.isfinite(keys)).sum())
    if bad:
        raise InvalidArgumentError(
            f"score {member.name!r} is not finite for {bad} of {len(keys)} samples."
        )
    return Scored(keys, values)


def _of_chunk(
    member: Score,
    path: np.ndarray,
    labels: np.ndarray,
    features: np.ndarray | None,
    centres: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rank keys and scores of some rows; of scores of one moment, the mean over epochs."""
    path = np.asarray(path, float)
    if not np.isfinite(path).all():
        raise InvalidArgumentError("logits must be finite numbers; some are not.")
    entries: dict[str, Any] = {"features": features, "prototypes": centres}
    if features is not None:
        entries["input_norm"] = np.sqrt(np.einsum("ij,ij->i", features, features) + 1)
    if "trajectory" in member.needs:
        entries["trajectory"] = np.moveaxis(path, 0, 1)
        return evaluate(member, path[-1], labels, entries)
    found = []
    for moment in path:
        if "gradient_norm" in member.needs:
            error = evaluate(SCORES["el2n"], moment, labels, {})[1]
            entries["gradient_norm"] = error * entries["input_norm"]
        found.append(evaluate(member, moment, labels, entries))
    if len(found) == 1:
        return found[0]
    values = np.mean([value for _, value in found], axis=0)
    return values, values


def _check_needs(member: Score, logits: Any, embeddings: Any) -> None:
    missing = sorted(member.needs - SUPPLIED)
    if missing:
        raise InvalidArgumentError(
            f"score {member.name!r} needs {' and '.join(missing)}, which logits and embeddings do "
            "not give."
        )
    if member.needs & OF_EMBEDDINGS and embeddings is None:
        raise InvalidArgumentError(
            f"score {member.name!r} needs embeddings: what the model's last layer reads, shape (n, "
            "width)."
        )
    if logits is None and (member.label_aware or not member.needs):
        raise InvalidArgumentError(f"score {member.name!r} needs logits, shape (n, classes).")
    shape = () if logits is None else np.shape(logits)
    if "trajectory" in member.needs and len(shape) != 3:
        raise InvalidArgumentError(
            f"score {member.name!r} needs logits over training, of shape (epochs, n, classes); got "
            f"shape {shape}."
        )


def _logits(logits: Any, n_samples: int) -> np.ndarray:
    """Logits of shape (epochs, n, C), checked to be no probabilities."""
    found = as_array("logits", logits, "the arguments")
    found = found[None] if found.ndim == 2 else found
    if found.ndim != 3 or found.shape[1] != n_samples or found.shape[2] < 2:
        raise InvalidArgumentError(
            f"logits must have shape ({n_samples}, classes) or (epochs, {n_samples}, classes); got "
            f"{np.shape(logits)}."
        )
    if found.dtype.kind not in "iuf" or not len(found):
        raise InvalidArgumentError(f"logits must be real numbers; got type {found.dtype}.")
    some = np.asarray(found[-1, :2048], float)
    if (some >= 0).all() and np.allclose(some.sum(axis=1), 1, atol=1e-3):
        raise InvalidArgumentError(
            "logits must be those before the softmax; these look like probabilities, whose "
            "logarithm, numpy.log(p), serves as logits."
        )
    return found


def _embeddings(embeddings: Any, n_samples: int) -> np.ndarray:
    found = as_array("embeddings", embeddings, "the arguments")
    if found.ndim != 2 or len(found) != n_samples or found.dtype.kind not in "iuf":
        raise InvalidArgumentError(
            f"embeddings must be real numbers of shape ({n_samples}, width); got shape "
            f"{found.shape} of type {found.dtype}."
        )
    return found


def _labels(dataset: Dataset, columns: int) -> np.ndarray:
    """The column of each sample's own class, shape (n,)."""
    if all(name.isdecimal() and int(name) < columns for name in dataset.classes):
        return np.array([int(name) for name in dataset.classes])[dataset.y]
    if len(dataset.classes) == columns:
        return dataset.y
    raise InvalidArgumentError(
        f"logits must have a column for each of the data's {len(dataset.classes)} classes; got "
        f"{columns} columns."
    )


def describe_outputs(score: str, logits: Any, embeddings: Any) -> dict[str, Any]:
    """How such scores came about, as plain values."""
    return {
        "score": score,
        "direction": "larger = harder",
        "model": "the user's own",
        "logits_shape": None if logits is None else list(np.shape(logits)),
        "embeddings_shape": None if embeddings is None else list(np.shape(embeddings)),
        "gradient": "last-layer" if score == "grand" else None,
        "random_generator": str(jax.config.jax_default_prng_impl),  # pyright: ignore[reportAttributeAccessIssue]
    }
