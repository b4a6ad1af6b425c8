"""``nfl-pruning reproduce``: simulations, figures, and a manifest of what came from what."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import click

from nfl_pruning.cli.scripts import PRESETS, Experiment, checkout, load

HELP = """Run the simulations of a checkout and draw its figures.

Finished records are kept, so an interrupted run continues where it stopped; --fresh computes
them again, as after a change of the code. Figures and manifest.json (figure, script, simulation,
hashes of the records) go to figures/output.

\b
Examples:
  nfl-pruning reproduce
  nfl-pruning reproduce --only no_free_lunch,calibration
  nfl-pruning reproduce --preset paper --root ~/nfl-pruning
"""


@click.command("reproduce", help=HELP, short_help="Run the simulations and draw the figures.")
@click.option(
    "--preset",
    default="quick",
    show_default=True,
    metavar="NAME",
    help="quick: minutes; paper: publication-size samples.",
)
@click.option("--only", default="", metavar="NAME,...", help="These experiments alone.")
@click.option(
    "--root",
    default=".",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The checkout.",
)
@click.option("--fresh", is_flag=True, help="Forget the finished records first.")
def command(preset: str, only: str, root: Path, fresh: bool) -> None:
    """Compute, draw, and write the manifest after every figure."""
    from nfl_pruning.cli.output import print_table
    from nfl_pruning.validation import check_choice

    check_choice("preset", preset, PRESETS)
    found = {experiment.name: experiment for experiment in checkout(root)}
    chosen = (
        [check_choice("only", name.strip(), found) for name in only.split(",")]
        if only
        else [*found]
    )
    rows = []
    for name in chosen:
        start = time.monotonic()
        written = reproduce(found[name], preset, fresh=fresh)
        seconds = f"{time.monotonic() - start:.0f}"
        rows.append((name, "\n".join(path.as_posix() for path in written), seconds))
    print_table(("experiment", "written", "seconds"), rows, left=("experiment", "written"))


def reproduce(experiment: Experiment, preset: str, *, fresh: bool = False) -> list[Path]:
    """Run one experiment, draw its figure and enter it in the manifest; returns the files."""
    from nfl_pruning.cli.output import steps
    from nfl_pruning.records import RecordStore

    store = RecordStore(experiment.records(preset))
    if fresh:
        store.forget_others([])
    with steps(experiment.name) as progress:
        load(experiment.simulation).run(preset, store, progress)
    out = experiment.root / "figures" / "output"
    out.mkdir(parents=True, exist_ok=True)  # a figure whose data are missing here draws nothing
    written = [Path(path) for path in load(experiment.figure).draw(store, out)]
    _enter(out / "manifest.json", experiment, preset, store, written)
    return written


def _enter(
    manifest: Path, experiment: Experiment, preset: str, store: Any, written: list[Path]
) -> None:
    from nfl_pruning.records import config_hash, to_json, write_atomically

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
            for record in store.all()
        },
    }
    text = to_json(entries, indent=1) + "\n"
    write_atomically(manifest, lambda file: file.write(text.encode()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
