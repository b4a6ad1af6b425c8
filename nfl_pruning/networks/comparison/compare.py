"""Does pruning by a score beat random pruning on a data set? Paired repeats, and what they say."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from nfl_pruning import records
from nfl_pruning.data.dataset import Dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.networks.augmentation import make_augment
from nfl_pruning.networks.comparison.arms import check_counts
from nfl_pruning.networks.comparison.plan import ComparisonPlan
from nfl_pruning.networks.comparison.repeat import run_repeat
from nfl_pruning.networks.comparison.result import Comparison, gather
from nfl_pruning.networks.comparison.splits import Split, make_split
from nfl_pruning.networks.comparison.subsets import (
    Subset,
    among_candidates,
    as_subset,
)
from nfl_pruning.networks.models import make_model
from nfl_pruning.pruning.plausible import far_out_notes
from nfl_pruning.records import RecordStore
from nfl_pruning.settings import with_own_settings

Progress = Callable[[int, int], Any]


@with_own_settings
def compare(
    dataset: Dataset,
    plan: ComparisonPlan,
    *,
    test: Dataset | None = None,
    given: np.ndarray | None = None,
    subsets: Mapping[str, Any] | None = None,
    folder: str | os.PathLike[str] | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Compare pruning rules with random pruning, over paired repeats of networks.

    Each repeat splits off a test set, trains one probe on the training set, scores that set, prunes
    it by each rule, and trains a fresh network on what is kept. All rules of a repeat share split,
    probe, initialisation and order. The test set is read once.

    Args:
        dataset: to train on, and to test on where ``test`` is not given.
        plan: which rules, by which networks, such as ``ComparisonPlan(seed=0, repeats=20)``.
        test: what every repeat is tested on, in the class codes of ``dataset``; by default its
            protected rows, which are never trained on, or a part that each repeat splits off.
        given: scores of the data's rows that were computed elsewhere, shape (n,), larger = harder;
            with ``ComparisonPlan(given=True)``.
        subsets: name -> what another tool keeps of the data: row numbers, ids, n booleans, a
            ``Pruned``, or a pair of rows and weights. Of a subset a repeat trains on the rows that
            it does not test on, against as many random rows; ± is then over splits and networks,
            not over draws of the subset.
        folder: where finished repeats are kept and looked up; nowhere by default.
        fresh: compute all repeats again.
        progress: called with (repeats done, repeats in all).

    Raises:
        InvalidArgumentError: the plan does not fit the data, or nothing would be kept.
    """
    if (given is not None) != plan.given:
        raise InvalidArgumentError(
            f"given must be scores where the plan compares them; the plan says {plan.given}."
        )
    scores = _given_scores(given, dataset)
    kept = {name: as_subset(name, value, dataset) for name, value in (subsets or {}).items()}
    taken = sorted({arm.name for arm in plan.arms} & set(kept))
    if taken:
        raise InvalidArgumentError(f"a subset must not have the name of a rule; got {taken[0]!r}.")
    if not kept and not plan.has_rules:
        raise InvalidArgumentError(
            "scores, policies or subsets must name one rule to compare at least; got none."
        )
    fractions = plan.keep_fractions if plan.has_rules else ()
    if dataset.protected is not None:
        scores = {name: values[~dataset.protected] for name, values in scores.items()}
        kept = {name: among_candidates(one, dataset.protected) for name, one in kept.items()}
        test, dataset = test or dataset.protected_part, dataset.candidates
    store = None if folder is None else RecordStore(folder)
    root_split, root = jax.random.split(jax.random.key(plan.seed))
    split = _split(root_split, dataset, test, plan)
    for fraction in fractions:
        check_counts(plan.arms, fraction, split.train_labels)
    network = make_model(plan.model, split.n_classes, split.shape)
    make_augment(plan.training.augmentation, split.shape)  # refuses what has no pixels
    config = record_key(plan, dataset, test=test, scores=scores, subsets=kept)
    results, reused = [], 0
    for number in range(plan.repeats):
        named = config | {"repeat": number}
        found = None if fresh or store is None else store.get(named)
        reused += found is not None
        if found is None:
            found = run_repeat(
                root,
                split.only(number),
                arms=plan.arms,
                fractions=fractions,
                scores=plan.members,
                epochs={score.name: plan.score_epoch for score in plan.members},
                model=network,
                training=plan.training,
                scope=plan.gradient,
                given=scores,
                subsets=kept,
            )
            if store is not None:
                store.put(named, found)
        results.append(found)
        if progress is not None:
            progress(number + 1, plan.repeats)
    about = plan.describe() | {"data": dataset.name, "data_hash": dataset.hash}
    notes = [*dataset.notes, *far_out_notes(dataset)]
    notes += [] if test is None else [*test.notes, *far_out_notes(test)]
    return gather(
        results,
        about | dataset.describe_features(),
        reused=reused,
        notes=tuple(dict.fromkeys(notes)),
        tested=split.test_rows.size,
        subsets=kept,
    )


def _split(key: Any, dataset: Dataset, test: Dataset | None, plan: ComparisonPlan) -> Split:
    return make_split(
        key,
        dataset,
        test,
        repeats=plan.repeats,
        n_train=plan.n_train,
        label_noise=plan.label_noise,
        imbalance=plan.imbalance,
        validation=plan.validation,
    )


def _given_scores(given: np.ndarray | None, dataset: Dataset) -> dict[str, np.ndarray]:
    """Scores from elsewhere under the name that rules know them by."""
    if given is None:
        return {}
    values = np.asarray(given)
    if values.shape != (len(dataset),) or values.dtype.kind not in "iuf":
        raise InvalidArgumentError(
            f"given must be {len(dataset)} real numbers, one a sample; got shape {values.shape} "
            f"of type {values.dtype}."
        )
    return {"given": values.astype(np.float64)}


def record_key(
    plan: ComparisonPlan,
    dataset: Dataset,
    *,
    test: Dataset | None = None,
    scores: Mapping[str, np.ndarray] | None = None,
    subsets: Mapping[str, Subset] | None = None,
) -> dict[str, Any]:
    """All that can change a repeat's numbers; the number of the repeat is added to it."""

    def key(data: Dataset) -> dict[str, Any]:
        return {
            "hash": data.hash,
            "shape": list(data.shape),
            "dtype": str(data.x.dtype),
            "classes": list(data.classes),  # their order is that of the codes
        }

    def digest(*arrays: np.ndarray) -> str:
        found = hashlib.sha256()
        for array in arrays:
            found.update(np.ascontiguousarray(array, "<f8").tobytes())
        return found.hexdigest()

    hashes = {name: digest(values) for name, values in (scores or {}).items()}
    kept = {name: digest(one.rows, one.weights) for name, one in (subsets or {}).items()}
    return {
        **plan.key(),
        "kind": "compare",
        "data": key(dataset),
        "test": None if test is None else key(test),
        "given": hashes,
        "subsets": kept,
        "source": records.source_hash(),
        "software": records.software(),
        "settings": records.settings_of_jax(),
    }
