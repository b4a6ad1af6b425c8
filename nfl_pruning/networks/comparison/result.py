"""What the repeats of a comparison say together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nfl_pruning.networks.comparison.repeat import gathered
from nfl_pruning.networks.comparison.subsets import baseline_of
from nfl_pruning.networks.comparison.verdicts import AccuracyVerdict, verdicts
from nfl_pruning.pruning.plausible import accuracy_sentence, chance_notes
from nfl_pruning.validation import format_number

MEASURES = ("accuracy", "balanced_accuracy", "worst_class_accuracy")


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
    verdicts: dict[str, list[AccuracyVerdict]]
    probe: dict[str, float | None]
    seconds: dict[str, float]
    reused: int
    about: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def probe_sentence(self) -> str:
        """How good the probes are on rows that they have not seen."""
        if self.probe["accuracy"] is None:
            return "No probe: no rule needs one."
        return accuracy_sentence(
            "The probe", self.probe["accuracy"], self.probe["largest_class"] or 0
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``verdicts`` are those of accuracy."""
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
    subsets: Collection[str] = (),
) -> Comparison:
    """The repeats' results together.

    Args:
        results: what ``run_repeat`` returned, fresh or from records.
        about: what was compared.
        reused: repeats that came from records.
        notes: what the reader should know.
        tested: test rows of all repeats.
        subsets: names of subsets, each of which has random rows of its own to beat.
    """
    measures = {name: gathered(results, name) for name in MEASURES}
    baselines = {name: baseline_of(name) for name in subsets}
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
        {name: verdicts(values, baselines=baselines) for name, values in measures.items()},
        {"accuracy": accuracy, "largest_class": largest},
        seconds,
        reused,
        about,
        (*notes, *chance_notes(accuracy, largest, tested)),
    )


def turned(verdicts: dict[str, list[Any]]) -> list[str]:
    """Sentences on rules that beat random by one measure and lose to it by another."""
    texts: dict[tuple[str, float], dict[str, str]] = {}
    for name, found in verdicts.items():
        for verdict in found:
            own = texts.setdefault((verdict.rule, verdict.keep_fraction), {})
            own[name.replace("_", " ").replace("worst class", "worst-class")] = verdict.text
    return [
        f"The answer turns with the measure for {rule} at {format_number(fraction)}: "
        + ", ".join(f"it {text} by {name}" for name, text in own.items() if text != "undecided")
        + "."
        for (rule, fraction), own in texts.items()
        if {"beats random", "loses to random"} <= set(own.values())
    ]
