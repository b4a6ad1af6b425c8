"""An experiment with other numbers than its script's own, in folders of its own."""

from __future__ import annotations

import time
from pathlib import Path

from nfl_pruning.experiments.overrides import Changes, changed, folder_name
from nfl_pruning.experiments.progress import steps
from nfl_pruning.experiments.reproduce import Reproduced
from nfl_pruning.experiments.scripts import Experiment, load
from nfl_pruning.records import RecordStore


def reproduce_changed(
    experiment: Experiment, preset: str, changes: Changes, *, fresh: bool = False
) -> Reproduced:
    """Run an experiment with other numbers and draw it; the manifest stays as it is.

    Args:
        experiment: of a checkout.
        preset: ``"quick"`` or ``"paper"``.
        changes: name of a number of the script, in lower case -> its value, or values.
        fresh: forget the finished records of these numbers first.

    Raises:
        InvalidArgumentError: the experiment has no number of that name.
    """
    start, name = time.monotonic(), folder_name(experiment.name, changes)
    store = RecordStore(experiment.records(preset).with_name(name))
    if fresh:
        store.forget_others([])
    script = load(experiment.simulation)
    with changed(script, changes, preset), steps(name) as progress:
        script.run(preset, store, progress)
    out = experiment.root / "figures" / "output" / name
    out.mkdir(parents=True, exist_ok=True)
    written = [Path(path) for path in load(experiment.figure).draw(store, out)]
    return Reproduced(experiment, written, time.monotonic() - start)
