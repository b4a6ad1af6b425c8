"""What departures of advice are made of, on the tasks that it was tuned on.

Refits to the rows of every round are tested on the held-out rows, as the advice does, and on rows
that it never sees. The difference is luck: few rows were tested on. Refits to all rows, tested on
the same new rows, say what the held-out rows would have gained; the fitted mixtures say it too, and
say too much: ``GAINED`` in ``nfl_pruning/realdata/rounds/levels.py`` is set by this::

    python simulations/benchmarks/advice_parts.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from nfl_pruning.experiments.scripts import load
from nfl_pruning.realdata.asked import Asked
from nfl_pruning.realdata.fitted.space import fit_space
from nfl_pruning.realdata.policies import make_policies
from nfl_pruning.realdata.rounds.probing import RowsProbe
from nfl_pruning.realdata.rounds.refits import ALL, Cell, Rows, Setting, feasible, run_cells
from nfl_pruning.realdata.rounds.study import REAL, Rounds, Study
from nfl_pruning.realdata.targets import column

SIMULATION = Path(__file__).parents[1] / "advice.py"
PARTS = 4  # of the rows, each held out once
WHOLE = 3  # refits to all rows
DRAWN = 8


def accuracy(rounds: Rounds, cell: Cell) -> float:
    """Mean, in percent."""
    return 100 * float(np.mean([one.accuracy for one in column(rounds, cell)]))


def parts_of(task: dict[str, Any], benchmark: Any) -> list[tuple[float, float, float, float]]:
    """For each cell: keep fraction, luck, and what the held-out rows gain data and mixtures."""
    data, x, y = benchmark.make_task(task)
    space = fit_space(data.x, scale="common", rng=np.random.default_rng(0))
    own, new = Rows(space(data.x), data.y), Rows(space(x), y)
    setting = Setting(len(task["classes"]), 0.01, RowsProbe())
    study = Study(own, setting, 0, PARTS)
    fractions, policies = tuple(benchmark.FRACTIONS), make_policies(["el2n"], [0.5])
    asked = Asked(policies, fractions, "accuracy", 1.0, "all", None, 0)
    cells = [cell for cell in asked.cells() if feasible(cell, study.n_train)]

    def on_new_rows(number: int) -> Any:
        rng = np.random.default_rng([study.seed, REAL, number])
        return run_cells(rng, own.take(study.splits[number].train), new, cells, setting)

    seen = study.measure(cells)
    true = [on_new_rows(i) for i in range(study.n_rounds)]
    whole = [
        run_cells(np.random.default_rng([99, i]), own, new, cells, setting) for i in range(WHOLE)
    ]
    study.fit(None)
    study.calibrate(1 - accuracy(seen, ALL) / 100)
    large, small = (study.draws(DRAWN, n, cells) for n in (task["n"], study.n_train))
    return [
        (
            cell[1],
            accuracy(seen, cell) - accuracy(true, cell),
            accuracy(whole, cell) - accuracy(true, cell),
            accuracy(large, cell) - accuracy(small, cell),
        )
        for cell in cells
    ]


@click.command()
@click.option("--most", default=20_000, show_default=True, help="Rows of a task at most.")
def main(most: int) -> None:
    """Print a mean and a standard error over tasks of medians over policies."""
    benchmark, found = load(SIMULATION), []
    for task in benchmark.TUNING:
        if task["n"] > most:
            continue
        own = np.array(parts_of(task, benchmark))
        found.append([np.median(own[own[:, 0] == f, 1:], axis=0) for f in np.unique(own[:, 0])])
        print(task, np.round(found[-1], 2).tolist(), flush=True)
    for place, fraction in enumerate((*benchmark.FRACTIONS, 1.0)):
        values = np.array(found)[:, place]
        mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
        told = [f"{m:+.2f} +- {e:.2f}" for m, e in zip(mean, error, strict=True)]
        print(f"{100 * fraction:3.0f} %: luck {told[0]}, data gain {told[1]}, mixtures {told[2]}")


if __name__ == "__main__":
    main()
