"""Pruning a real data set: score every sample, select, and keep the evidence."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from nfl_pruning.data.dataset import Dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.notes import data_notes, hard_notes, outcome_notes, tie_notes
from nfl_pruning.pruning.plausible import largest_share
from nfl_pruning.pruning.probing import DataProbe, Scored, parse_data_probe, score_dataset
from nfl_pruning.pruning.pruned import Pruned as Pruned
from nfl_pruning.pruning.rule import DataRule, check_rule
from nfl_pruning.records import settings_of_jax, software
from nfl_pruning.scores.base import SCORES, Score
from nfl_pruning.selections import Selected, Selection
from nfl_pruning.selections.explored_quotas import ALL_BALANCES
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_choice, check_kind, check_unmasked


@with_own_settings
def prune(
    dataset: Dataset,
    *,
    seed: int,
    score: str | Score = "el2n",
    keep: str = "hardest",
    keep_fraction: float = 0.3,
    selection: str | Selection = "exact",
    exploit: float = 0.5,
    probe: DataProbe | str = "pilot",
    scores: np.ndarray | None = None,
    scores_config: Mapping[str, Any] | None = None,
    balance: str = "none",
) -> Pruned:
    """Prune a data set: score it through a linear probe (or take scores), then select.

    Args:
        dataset: n samples.
        seed: whole number in [0, 2^32); split into one key for the pilot splits and one for the
            selection.
        score: registered name or score; ignored by protocols that do not use one.
        keep: ``"hardest"`` or ``"easiest"``.
        keep_fraction: share to keep, in (0, 1].
        selection: protocol, as text or object; exact calibration by default, since hard rules can
            lose much (see ``pruning.notes.HARD_RULES``).
        exploit: exploitation share of calibrated protocols, in [0, 1].
        probe: the model that scores; ignored when ``scores`` are given or the rule needs none.
        scores: n difficulty scores computed elsewhere, larger = harder, in place of a probe.
        scores_config: how these scores were computed, as plain values; kept in ``config``.
        balance: ``"none"``, or quotas by class: ``"proportional"`` or ``"equal"`` (see
            :func:`nfl_pruning.selections.balanced.class_quotas`), or ``"explored"``: proportional
            ones of the explored part alone.

    Raises:
        InvalidArgumentError: an argument is out of range, the rule and the scores do not fit each
            other, or nothing would be kept.
    """
    if not isinstance(dataset, Dataset):
        raise InvalidArgumentError(
            "prune takes a Dataset, from make_dataset(name, x, y) or load_dataset(...); got "
            f"{type(dataset).__name__}."
        )
    protocol, ranking = check_rule(
        seed=seed,
        score=score,
        keep=keep,
        keep_fraction=keep_fraction,
        selection=selection,
        exploit=exploit,
        given=scores is not None,
    )
    check_choice("balance", balance, ALL_BALANCES)
    rule = DataRule(protocol, keep, float(keep_fraction), balance)
    model = parse_data_probe(probe) if isinstance(probe, str) else probe
    check_kind("probe", model, DataProbe)
    key_probe, key_select = jax.random.split(jax.random.key(seed))
    candidates, start = dataset.candidates, time.perf_counter()
    if scores is None:
        scored = score_dataset(key_probe, candidates, score=ranking, probe=model)
        about = _describe_scores(ranking, model)
    else:
        scored = _given(scores, dataset)
        about = _describe_given(scored.values, scores_config)
    scoring = time.perf_counter() - start
    config = _describe_data(candidates) | {"seed": seed} | rule.describe() | about
    found = _select(key_select, candidates, scored, rule, config=config, scoring=scoring)
    return found if dataset.protected is None else found.among(dataset)


def _select(
    key: jax.Array,
    dataset: Dataset,
    scored: Scored,
    rule: DataRule,
    *,
    config: Mapping[str, Any],
    scoring: float,
) -> Pruned:
    """The outcome among rows that have their scores, which took ``scoring`` seconds."""
    start = time.perf_counter()
    chosen = rule.choose(key, scored, dataset.y)
    nested = rule.order(key, scored)
    selecting = time.perf_counter() - start
    counts = _class_counts(dataset, chosen)
    notes = data_notes(dataset, scored)
    notes += hard_notes(rule.selection, rule.keep, rule.keep_fraction)
    notes += outcome_notes(scored, counts)
    if "score" in rule.selection.uses:
        quotas = dataset.y if rule.balance != "none" else None
        notes += tie_notes(scored.rank_key, chosen, quotas)
    return Pruned(
        chosen.indices,
        chosen.weights,
        scored.values,
        chosen.keep_probabilities,
        dataset.hash,
        config=config,
        class_counts=counts,
        seconds={"scoring": scoring, "selecting": selecting},
        warnings=tuple(notes),
        ids=dataset.ids,
        probe_accuracy=scored.accuracy,
        largest_class=largest_share(dataset.y),
        source=dataset.source,
        group=dataset.group,
        rank_keys=None if np.array_equal(scored.rank_key, scored.values) else scored.rank_key,
        nested=nested,
        labels=dataset.y,
    )


def _class_counts(dataset: Dataset, chosen: Selected) -> dict[str, tuple[int, int]]:
    """Name of each class -> (samples, kept samples)."""
    kept, totals = dataset.take(chosen.indices).class_counts(), dataset.class_counts()
    return {
        name: (int(total), int(count))
        for name, total, count in zip(dataset.classes, totals, kept, strict=True)
    }


def _describe_data(dataset: Dataset) -> dict[str, Any]:
    """What was pruned, and with which software, as plain values."""
    return {
        "data": dataset.name,
        "n_samples": len(dataset),
        **dataset.describe_features(),
        "software": software(),
        "random_generator": settings_of_jax()["random_generator"],
    }


def _given(scores: np.ndarray, dataset: Dataset) -> Scored:
    """Scores of the rows that may be pruned, from scores of all rows."""
    check_unmasked("scores", scores)
    values, n_samples = np.asarray(scores), len(dataset)
    if values.shape != (n_samples,) or values.dtype.kind not in "iuf":
        raise InvalidArgumentError(
            f"scores must be {n_samples} real numbers, one a sample; got shape {values.shape} of "
            f"type {values.dtype}."
        )
    values = values.astype(np.float64)
    values = values if dataset.protected is None else values[~dataset.protected]
    return Scored(values, values)


def _describe_given(values: np.ndarray, contract: Mapping[str, Any] | None) -> dict[str, Any]:
    """Which scores were given, and how they were computed where that is known."""
    content = hashlib.sha256(np.ascontiguousarray(values, "<f8").tobytes()).hexdigest()
    known = None if contract is None else dict(contract)
    try:
        json.dumps(known, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"scores_config must hold plain values that strict JSON can hold; {error}."
        ) from None
    return {"score": "given", "scores_hash": content, "scores_config": known, "probe": None}


def _describe_scores(ranking: Score, probe: DataProbe) -> dict[str, Any]:
    """Which probe made the scores, as plain values."""
    if ranking is SCORES["random"]:
        return {"score": ranking.name, "probe": None}
    return {
        "score": ranking.name,
        "probe": probe.label,
        "probe_ridge": probe.ridge,
        "scale": probe.scale,
        "probe_note": probe.sentence,
    }
