"""Run experiments of a checkout, draw their figures, and state what came from what."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from nfl_pruning.experiments.processes import in_processes, usual_jobs
from nfl_pruning.experiments.scripts import PRESETS, Experiment, load
from nfl_pruning.records import RecordStore, config_hash, to_json, write_atomically
from nfl_pruning.validation import check_choice


class Reproduced(NamedTuple):
    """An experiment that was run: the files that its figure script wrote, and the seconds."""

    experiment: Experiment
    written: list[Path]
    seconds: float


def reproduce(
    experiments: Sequence[Experiment],
    preset: str = "quick",
    *,
    fresh: bool = False,
    jobs: int | None = None,
) -> Iterator[Reproduced]:
    """Run experiments, draw, and write the manifest after every figure.

    Args:
        experiments: of a checkout.
        preset: ``"quick"`` or ``"paper"``.
        fresh: forget the finished records first.
        jobs: how many at a time, each in a process; see ``usual_jobs``.

    Yields:
        What was done, as experiments are finished.
    """
    check_choice("preset", preset, PRESETS)
    jobs = min(len(experiments), jobs or usual_jobs())
    if jobs <= 1:  # also where there is nothing to do
        for experiment in experiments:
            yield _entered(experiment, preset, reproduce_one(experiment, preset, fresh=fresh))
        return
    work = partial(reproduce_one, preset=preset, fresh=fresh, lines=True)
    tasks = {experiment.name: (experiment,) for experiment in experiments}
    for name, found in in_processes(work, tasks, jobs):
        yield _entered(tasks[name][0], preset, found)


def _entered(experiment: Experiment, preset: str, found: tuple[list[Path], float]) -> Reproduced:
    """The outcome, once it stands in the manifest."""
    _enter(experiment, preset, found[0])
    return Reproduced(experiment, *found)


def reproduce_one(
    experiment: Experiment, preset: str, *, fresh: bool = False, lines: bool = False
) -> tuple[list[Path], float]:
    """Run one experiment and draw its figure; returns the files and the seconds it took.

    Args:
        experiment: of a checkout.
        preset: quick or paper.
        fresh: forget the finished records first.
        lines: show progress as lines, which several processes may write, and not as a bar.
    """
    from nfl_pruning.experiments.progress import steps

    start, store = time.monotonic(), _store(experiment, preset)
    if fresh:
        store.forget_others([])
    with steps(experiment.name, lines=lines) as progress:
        load(experiment.simulation).run(preset, store, progress)
    out = experiment.root / "figures" / "output"
    out.mkdir(parents=True, exist_ok=True)  # a figure whose data are missing here draws nothing
    written = [Path(path) for path in load(experiment.figure).draw(store, out)]
    return written, time.monotonic() - start


def _store(experiment: Experiment, preset: str) -> RecordStore:
    return RecordStore(experiment.records(preset))


def _enter(experiment: Experiment, preset: str, written: list[Path]) -> None:
    """Enter what was written, and what it came from, in the manifest."""
    manifest = experiment.root / "figures" / "output" / "manifest.json"
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        entries = {}

    def place(path: Path) -> str:
        return path.resolve().relative_to(experiment.root.resolve()).as_posix()

    entries[experiment.name] = {
        "preset": preset,
        "files": [place(path) for path in written],
        "script": place(experiment.figure),
        "simulation": place(experiment.simulation),
        "records": {
            f"{config_hash(record['config'])}.json": _digest(to_json(record["result"]))
            for record in _store(experiment, preset).all()
        },
    }
    text = to_json(entries, indent=1) + "\n"
    write_atomically(manifest, lambda file: file.write(text.encode()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
