"""Pictures and numbers of the gallery, from records that the repository keeps.

``python docs/site/gallery.py NAME...`` packs the finished records of experiments, which
``nfl-pruning reproduce --only NAME`` computed, into ``docs/gallery/NAME.json.gz``. The site draws
its pictures from these, and from records under ``simulations/records/paper``, and writes their
numbers as tables.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from nfl_pruning.experiments.record_tables import rows_of_records, write_rows
from nfl_pruning.experiments.scripts import Experiment, experiments, load
from nfl_pruning.records import RecordStore, to_json

ROOT = Path(__file__).resolve().parents[2]
PACKED = ROOT / "docs" / "gallery"


class Shown(NamedTuple):
    """A figure of the gallery: its picture (.png), its table (.csv), and which preset they are."""

    picture: bytes
    table: bytes
    preset: str


def packed(name: str) -> list[dict[str, Any]]:
    """The records that the repository keeps of an experiment, each with config and result."""
    path = PACKED / f"{name}.json.gz"
    return json.loads(gzip.decompress(path.read_bytes())) if path.is_file() else []


def shown(experiment: Experiment) -> Shown | None:
    """Picture and table, from records of this repository; None where it has none."""
    with tempfile.TemporaryDirectory() as folder:
        store, preset = RecordStore(experiment.records("paper")), "paper"
        records = store.all()
        if not records:
            store, preset = RecordStore(Path(folder) / "records"), "quick"
            for record in packed(experiment.name):
                store.put(record["config"], record["result"])
            records = store.all()
        if not records:
            return None
        table = Path(folder) / "table.csv"
        write_rows(table, rows_of_records(records))
        written = load(experiment.figure).draw(store, Path(folder))
        pictures = [path for path in map(Path, written) if path.suffix == ".png"]
        return Shown(pictures[0].read_bytes(), table.read_bytes(), preset)


def pack(experiment: Experiment) -> Path:
    """Keep an experiment's finished records of the quick preset in the repository."""
    records = RecordStore(experiment.records("quick")).all()
    if not records:
        raise SystemExit(f"first run: nfl-pruning reproduce --only {experiment.name}")
    kept = [{name: record[name] for name in ("config", "result")} for record in records]
    kept.sort(key=lambda record: to_json(record["config"]))
    PACKED.mkdir(exist_ok=True)
    out = PACKED / f"{experiment.name}.json.gz"
    out.write_bytes(gzip.compress(to_json(kept).encode(), mtime=0))
    return out


if __name__ == "__main__":
    for found in experiments(ROOT):
        if found.name in sys.argv[1:]:
            print(pack(found))
