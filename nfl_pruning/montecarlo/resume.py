"""Finished trials on disk, so that a run that was killed continues where it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nfl_pruning.montecarlo.trials import Table
from nfl_pruning.records import RecordStore, config_hash

FLUSH_SECONDS = 2.0  # a run that is killed loses at most this much and the trials under way


class TrialRecords:
    """The trials of one job in a folder of its own inside a record store's.

    Each record holds consecutive trials with their raw numbers, exact to the last bit. Two
    processes may work on the same job: they write whole files, and equal trials are equal.

    Args:
        store: where to keep them, or None to keep nothing.
        job: plain values that fix the numbers of every trial.
        empty: number of trials -> a table of so many.
    """

    def __init__(
        self, store: RecordStore | None, job: dict[str, Any], empty: Callable[[int], Table]
    ) -> None:
        self.job, self.empty = job, empty
        self.store = RecordStore(store.folder / f"trials-{config_hash(job)}") if store else None
        self.waiting: list[tuple[int, Table]] = []
        self.written = time.monotonic()

    def load(self, first: int, stop: int) -> tuple[Table, np.ndarray]:
        """Trials first, ..., stop - 1 as far as they are known, and a mask of those."""
        table, known = self.empty(stop - first), np.zeros(stop - first, bool)
        for record in self.store.all() if self.store else []:
            for piece in record["result"]["pieces"]:
                numbers = np.asarray(piece["trials"], int)
                inside = (numbers >= first) & (numbers < stop)
                places = numbers[inside] - first
                for name, values in table.items():
                    column = np.asarray(piece[name], float)  # null is NaN
                    values[places] = column[inside].astype(values.dtype)
                known[places] = True
        return table, known

    def save(self, first: int, part: Table) -> None:
        """Keep a table of consecutive trials, on disk within two seconds."""
        if self.store is None:
            return
        self.waiting.append((first, part))
        if time.monotonic() - self.written > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting as one record."""
        if self.store is None or not self.waiting:
            return
        pieces = [
            {"trials": list(range(first, first + len(part["code"]))), **part}
            for first, part in self.waiting
        ]
        spans = [[first, len(part["code"])] for first, part in self.waiting]
        self.store.put({**self.job, "spans": spans}, {"pieces": pieces})
        self.waiting, self.written = [], time.monotonic()
