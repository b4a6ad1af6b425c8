"""One repeat of a paired experiment as plain values: the unit that is recorded and resumed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import numpy as np
from jax import Array

from nfl_pruning.networks.comparison.arms import Arm
from nfl_pruning.networks.comparison.experiment import Outcome, probe_scores, refit
from nfl_pruning.networks.comparison.splits import Split
from nfl_pruning.networks.comparison.subsets import Subset, arms_of
from nfl_pruning.networks.measuring import measure
from nfl_pruning.networks.training import State, Training
from nfl_pruning.scores.base import Score
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import format_number

OBSERVABLES = ("accuracy", "loss", "epoch", "balanced_accuracy", "worst_class_accuracy")


@with_own_settings
def run_repeat(
    root: Array,
    split: Split,
    *,
    arms: Sequence[Arm],
    fractions: Sequence[float],
    scores: Sequence[Score],
    epochs: Mapping[str, int],
    model: nn.Module,
    training: Training,
    scope: str = "full",
    given: Mapping[str, np.ndarray] | None = None,
    subsets: Mapping[str, Subset] | None = None,
) -> dict[str, Any]:
    """Probe, prune by every arm at every keep fraction, refit, test.

    Args:
        root: typed key of the experiment.
        split: rows of one repeat (see :meth:`Split.only`).
        arms: the rules; the first must be random pruning, which alone is refitted on full data.
        fractions: shares to keep, each in (0, 1].
        scores: what the probe computes.
        epochs: score name -> epoch at which it is computed.
        model: of the probe and of the refits.
        training: of both.
        scope: which gradient GraNd means.
        given: name -> scores computed elsewhere of all rows of the data, shape (n,), for arms
            that rank by a score of that name.
        subsets: name -> what another tool keeps of the data; of that, the repeat's training rows
            are refitted, and reported at the share of the data, beside as many random rows.

    Returns:
        Plain values: ``accuracy``, ``loss``, ``balanced_accuracy``, ``worst_class_accuracy`` and
        ``epoch`` (at which the test rows were read) by keep fraction and rule, NaN for what
        diverged; ``kept`` by keep fraction; ``diverged``, the number of networks without a result;
        ``probe``, its accuracy on the test rows (NaN without a probe) beside the share of their
        largest class; ``seconds`` of ``probing`` and ``refitting``. A keep fraction is the shortest
        text that reads back as the same number.
    """
    start, seen = time.perf_counter(), []

    def look(state: State) -> None:
        seen.extend(measure(model, state.params, split, np.arange(1)))

    keys = probe_scores(
        root,
        split,
        scores=scores,
        model=model,
        training=training,
        epochs=dict(epochs),
        scope=scope,
        at_end=look,
    )
    rows = split.train_rows % len(split.table)
    keys |= {name: np.asarray(values, float)[rows] for name, values in (given or {}).items()}
    probing = time.perf_counter() - start
    found: dict[str, dict[str, Outcome]] = {}
    for fraction in fractions:
        found[format_number(fraction)] = refit(
            root,
            split,
            keys,
            arms=arms if fraction < 1 else arms[:1],  # keeping all, every rule is the same
            keep_fraction=fraction,
            model=model,
            training=training,
        )
    for name, subset in (subsets or {}).items():
        pair, share = arms_of(name, subset, split)
        both = refit(
            root, split, keys, arms=pair, keep_fraction=share, model=model, training=training
        )
        found[format_number(subset.share)] = found.get(format_number(subset.share), {}) | both
    outcomes = [outcome for by_rule in found.values() for outcome in by_rule.values()]
    return {
        **{
            name: {
                fraction: {
                    rule: getattr(outcome, name)[0].item() for rule, outcome in rules.items()
                }
                for fraction, rules in found.items()
            }
            for name in OBSERVABLES
        },
        "kept": {fraction: next(iter(rules.values())).kept for fraction, rules in found.items()},
        "diverged": int(sum(np.isnan(outcome.loss).sum() for outcome in outcomes)),
        "probe": {
            "accuracy": seen[0][0] if seen else np.nan,
            "largest_class": float(
                np.bincount(split.test_labels[0]).max() / split.test_labels.size
            ),
        },
        "seconds": {"probing": probing, "refitting": time.perf_counter() - start - probing},
    }


def gathered(
    results: Sequence[Mapping[str, Any]], name: str = "accuracy"
) -> dict[float, dict[str, np.ndarray]]:
    """An observable of several repeats: keep fraction -> rule -> shape (repeats,), NaN = diverged.

    Results may come from records, where what does not exist is None. Rules that were not refitted
    on the full data are random there.
    """
    found: dict[float, dict[str, np.ndarray]] = {}
    for fraction in results[0][name]:
        rules = results[0][name][fraction]
        found[float(fraction)] = {
            rule: np.array([_number(result[name][fraction][rule]) for result in results])
            for rule in rules
        }
    return found


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
