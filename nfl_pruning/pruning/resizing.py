"""Another budget from the same scores and the same lots: subsets that are nested in each other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.data.dataset import Dataset
from nfl_pruning.data.readers.archives import check_hash, read_npz
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.pruned import Pruned
from nfl_pruning.selections.base import RankSelection, make_selection
from nfl_pruning.selections.nested import Nested, resized

WANTED = ("indices", "weights", "scores", "keep_probabilities", "data_hash", "config")
OPTIONAL = ("order", "priority", "rank_keys", "protected")


def resize(pruned: Pruned, keep_fraction: float) -> Pruned:
    """The subset of another budget: larger ones hold all rows of smaller ones.

    Args:
        pruned: an outcome of :func:`nfl_pruning.prune`, or of :func:`load_pruned`.
        keep_fraction: share of the candidates to keep, in (0, 1].

    Raises:
        InvalidArgumentError: the rule's subsets are not nested (class quotas, and rules other than
            threshold, random, exact and soft calibration), or the fraction is out of range.
    """
    config, nested = pruned.config, pruned.nested
    if nested is None:
        raise InvalidArgumentError(
            "resize is for the protocols threshold, random, exact and soft without class quotas, "
            f"whose subsets are nested; got {config['protocol']} with quotas {config['balance']}."
        )
    exploit = config["exploit"]
    rule = make_selection(config["protocol"], exploit=0.5 if exploit is None else exploit)
    assert isinstance(rule, RankSelection)
    rows = pruned.candidates
    keys = pruned.scores[rows] if pruned.rank_keys is None else pruned.rank_keys
    found = resized(
        nested,
        keys,
        old=config["keep_fraction"],
        new=keep_fraction,
        keep=config["keep"] or "hardest",
        selection=rule,
    )
    weights, chances = np.zeros(len(pruned.weights)), np.zeros(len(pruned.weights))
    weights[rows], chances[rows] = found.weights, found.keep_probabilities
    resized_from = config.get("resized_from", config["keep_fraction"])
    stated = {name: value for name, value in config.items() if name != "weight_normalisation"}
    return replace(
        pruned,
        indices=rows[found.indices],
        weights=weights,
        keep_probabilities=chances,
        config={**stated, "keep_fraction": float(keep_fraction), "resized_from": resized_from},
        class_counts=_counts(pruned, rows[found.indices]),
        warnings=(),
    )


def _counts(pruned: Pruned, kept: np.ndarray) -> dict[str, tuple[int, int]]:
    """Samples and kept samples of each class; of none where the labels are not at hand."""
    if pruned.labels is None:
        return {}
    counts = np.bincount(pruned.labels[kept], minlength=len(pruned.class_counts))
    totals = ((name, total) for name, (total, _) in pruned.class_counts.items())
    return {name: (total, int(n)) for (name, total), n in zip(totals, counts, strict=True)}


def load_pruned(path: Path | str, dataset: Dataset) -> Pruned:
    """An outcome from the .npz that ``prune`` wrote.

    Args:
        path: the file.
        dataset: the data that were pruned. Rows that were protected then stay so, said again or
            not.

    Raises:
        InvalidArgumentError: unreadable, of other data, no outcome of ``prune``, or other rows are
            protected.
    """
    path = Path(path)
    arrays = read_npz(path, WANTED, OPTIONAL)
    check_hash(path, arrays["data_hash"], dataset.hash)
    dataset = _protected_alike(path, arrays.get("protected"), dataset)
    config = _config(path, arrays)
    own = dataset.candidates
    nested = Nested(arrays["order"], arrays["priority"]) if "order" in arrays else None
    kept = arrays["indices"]
    totals, counts = own.class_counts(), np.bincount(dataset.y[kept], minlength=len(own.classes))
    return Pruned(
        kept,
        arrays["weights"],
        arrays["scores"],
        arrays["keep_probabilities"],
        dataset.hash,
        config=config,
        class_counts={
            name: (int(total), int(count))
            for name, total, count in zip(dataset.classes, totals, counts, strict=True)
        },
        seconds={"scoring": 0.0, "selecting": 0.0},
        ids=dataset.ids,
        source=dataset.source,
        protected=dataset.protected,
        group=dataset.group,
        rank_keys=arrays.get("rank_keys"),
        nested=nested,
        labels=dataset.y,
    )


def _protected_alike(path: Path, held: np.ndarray | None, dataset: Dataset) -> Dataset:
    """The data with the rows protected that were protected when the file was written."""
    before = np.zeros(len(dataset), bool) if held is None else np.asarray(held)
    fits = before.dtype == bool and before.shape == (len(dataset),)
    now = before if dataset.protected is None else dataset.protected
    if not fits or (before != now).any():
        raise InvalidArgumentError(
            f"the protected rows must be those of {path}, which has {int(before.sum())}; got "
            f"{int(now.sum())}, not the same."
        )
    return replace(dataset, protected=before if before.any() else None)


def _config(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The configuration, once the arrays fit each other."""
    n = arrays["weights"].shape
    same = all(arrays[name].shape == n for name in ("scores", "keep_probabilities"))
    try:
        config = json.loads(str(arrays["config"]))
        known = {"keep_fraction", "protocol", "exploit", "keep", "balance"} <= set(config)
    except (ValueError, TypeError):
        config, known = {}, False
    orders = [arrays[name] for name in ("order", "priority") if name in arrays]
    whole = len(orders) in (0, 2) and all(
        order.dtype.kind in "iu" and np.array_equal(np.sort(order), np.arange(order.size))
        for order in orders
    )
    if not (same and known and whole):
        raise InvalidArgumentError(f"{path} is no outcome of nfl-pruning prune.")
    return config
