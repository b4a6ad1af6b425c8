"""What ``compare`` reads, what names its records, and what its repeats say together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nfl_pruning.cli.network_options import WITH_TEST_PART

if TYPE_CHECKING:
    from nfl_pruning.data import Columns, Dataset
    from nfl_pruning.networks.verdicts import Verdict

MEASURES = ("accuracy", "balanced_accuracy", "worst_class_accuracy")


@dataclass(frozen=True)
class DataRead:
    """The data of a comparison.

    Attributes:
        dataset: to train on, and to test on where there is no test part.
        test: a test part, or None.
        scores: name -> scores of a file, one a row of ``dataset``.
        notes: what the reader should know.
    """

    dataset: Dataset
    test: Dataset | None
    scores: dict[str, np.ndarray]
    notes: tuple[str, ...]

    @property
    def about(self) -> dict[str, Any]:
        """What the report says of the data."""
        return {"data": self.dataset.name, "data_hash": self.dataset.hash}


def read_data(
    said: tuple[str, str | None, Columns], *, scores_file: str | None, test_data: str | None
) -> DataRead:
    """Everything that a comparison reads.

    Args:
        said: the data's name or file, the folder of named data, and what columns mean.
        scores_file: scores of its rows, if any.
        test_data: a file to test on, if any.
    """
    from nfl_pruning.data import load_dataset, load_test_data
    from nfl_pruning.data.scores_file import read_scores
    from nfl_pruning.plausible import far_out_notes

    data, data_dir, columns = said
    dataset = load_dataset(data, data_dir=data_dir, columns=columns)
    notes, test, scores = [*dataset.notes, *far_out_notes(dataset)], None, {}
    if test_data is not None:
        test = load_test_data(test_data, dataset, columns)
        notes += [*test.notes, *far_out_notes(test)]
    elif data in WITH_TEST_PART:
        test = load_dataset(data, data_dir=data_dir, part="test")
    if scores_file is not None:
        given = read_scores(Path(scores_file), dataset)
        scores, notes = {"given": given.values}, [*notes, *given.notes]
    return DataRead(dataset, test, scores, tuple(notes))


def record_key(said: Mapping[str, Any], read: DataRead) -> dict[str, Any]:
    """All that can change a repeat's numbers; the number of the repeat is added to it.

    Args:
        said: the command's options, but those that say where files are.
        read: the data.
    """
    from nfl_pruning.records import settings_of_jax, software, source_hash

    def key(dataset: Dataset) -> dict[str, Any]:
        return {
            "hash": dataset.hash,
            "shape": list(dataset.shape),
            "dtype": str(dataset.x.dtype),
            "classes": list(dataset.classes),  # their order is that of the codes
        }

    scores = {
        name: hashlib.sha256(np.ascontiguousarray(values, "<f8").tobytes()).hexdigest()
        for name, values in read.scores.items()
    }
    return {
        **said,
        "kind": "compare",
        "data": key(read.dataset),
        "test": key(read.test) if read.test else None,
        "scores": scores,
        "source": source_hash(),
        "software": software(),
        "settings": settings_of_jax(),
    }


@dataclass(frozen=True)
class Comparison:
    """What the repeats of a comparison say together.

    Attributes:
        measures: measure -> keep fraction -> rule -> one value a repeat.
        verdicts: measure -> every rule against plain random pruning.
        probe: mean ``accuracy`` of the probes on test rows, and the share of their
            ``largest_class``.
        seconds: of probing and refitting.
        reused: repeats that came from records.
        about: what was compared.
        notes: what the reader should know.
    """

    measures: dict[str, dict[float, dict[str, np.ndarray]]]
    verdicts: dict[str, list[Verdict]]
    probe: dict[str, float | None]
    seconds: dict[str, float]
    reused: int
    about: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def probe_sentence(self) -> str:
        """How good the probes are on rows that they have not seen."""
        from nfl_pruning.plausible import accuracy_sentence

        if self.probe["accuracy"] is None:
            return "No probe: no rule needs one."
        return accuracy_sentence(
            "The probe", self.probe["accuracy"], self.probe["largest_class"] or 0
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``--json``; ``verdicts`` are those of accuracy."""
        by_class = {
            f"{name}_verdicts": [verdict.to_dict() for verdict in self.verdicts[name]]
            for name in MEASURES[1:]
        }
        return {
            "config": self.about,
            "verdicts": [verdict.to_dict() for verdict in self.verdicts["accuracy"]],
            **self.measures,
            **by_class,
            "probe": self.probe,
            "warnings": list(self.notes),
            "seconds": self.seconds,
            "reused": self.reused,
        }


def gather(
    results: Sequence[Mapping[str, Any]],
    about: dict[str, Any],
    *,
    reused: int,
    notes: tuple[str, ...],
    tested: int,
) -> Comparison:
    """The repeats' results together.

    Args:
        results: of :func:`nfl_pruning.networks.repeat.run_repeat`, fresh or from records.
        about: what was compared.
        reused: repeats that came from records.
        notes: what the reader should know.
        tested: test rows of all repeats.
    """
    from nfl_pruning.networks.repeat import gathered
    from nfl_pruning.networks.verdicts import verdicts
    from nfl_pruning.plausible import chance_notes

    measures = {name: gathered(results, name) for name in MEASURES}
    seconds = {
        name: float(sum(result["seconds"][name] for result in results))
        for name in ("probing", "refitting")
    }
    right = [result["probe"]["accuracy"] for result in results]
    seen = [value for value in right if value is not None and np.isfinite(value)]
    largest = float(np.mean([result["probe"]["largest_class"] for result in results]))
    accuracy = float(np.mean(seen)) if seen else None
    return Comparison(
        measures,
        {name: verdicts(values) for name, values in measures.items()},
        {"accuracy": accuracy, "largest_class": largest},
        seconds,
        reused,
        about,
        (*notes, *chance_notes(accuracy, largest, tested)),
    )
