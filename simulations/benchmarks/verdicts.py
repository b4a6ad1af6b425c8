"""How often the verdicts of ``nfl-pruning verify`` change with the seed.

Checks every statement at many seeds in one process, so that programs are compiled once and what
depends on no seed is computed once. Finished checks are kept; an interrupted run continues. Run::

    python simulations/benchmarks/verdicts.py --seeds 301-320 --folder verdicts --out docs/seeds.md
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.experiments.compilation import use_compilation_cache
from nfl_pruning.records import RecordStore
from nfl_pruning.statements import STATEMENTS
from nfl_pruning.statements.base import POWER, Quantity

PAGE = """# Verdicts at other seeds

`python simulations/benchmarks/verdicts.py --seeds {seeds} --folder verdicts --out docs/seeds.md`
checks the [statements](statements.md) at twenty seeds. Refuted controls count the checks in which
the predictions, moved by what matters to either side (claims of a sign: that the lead is smaller
than what matters), were refuted. z is (measured - predicted) / standard error over all statistical
quantities of a statement. The margin is half of what matters over the allowance (claims of a sign:
the lead beyond what matters over it), the least of all quantities; below 1 a check is inconclusive.
Seconds are those of a check after the first seed's, on one core.

{table}
"""

HEAD = ("statement", "verdicts", "controls refuted", "mean z", "largest z", "margin", "s a seed")


def margin(quantity: Quantity) -> float:
    """How far a quantity is from being too imprecise to tell, 1 at the edge."""
    if quantity.error == 0:
        return np.inf
    if quantity.relation == "equals":
        return POWER * quantity.matters / quantity.allowance
    lead = abs(quantity.measured - quantity.predicted)
    return (lead - quantity.matters) / quantity.allowance


def row(name: str, entries: list[Any]) -> tuple[str, ...]:
    """One line of the table from a statement's entries."""
    verdicts = Counter(entry.evidence.verdict for entry in entries)
    statistical = [
        q for entry in entries for q in entry.evidence.measured.quantities if q.dof is not None
    ]
    z = [q.z_score for q in statistical if q.relation == "equals"]
    return (
        name,
        ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()),
        str(sum(entry.control_refuted for entry in entries)),
        f"{np.mean(z):.2f}" if z else "–",
        f"{max(map(abs, z)):.1f}" if z else "–",
        f"{min(margin(q) for q in statistical):.2f}" if statistical else "–",
        f"{np.mean([entry.evidence.seconds for entry in entries[1:] or entries]):.1f}",
    )


@click.command(help=__doc__)
@click.option("--seeds", default="301-320", show_default=True, metavar="FIRST-LAST")
@click.option("--only", default="", metavar="ID,...", help="These statements alone.")
@click.option("--preset", default="quick", show_default=True)
@click.option("--minutes", default=600.0, show_default=True, help="Start no check after these.")
@click.option("--folder", default="verdicts", show_default=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Page of Markdown for the table.")
def main(
    seeds: str, only: str, preset: str, minutes: float, folder: Path, out: Path | None
) -> None:
    """Check what is missing, then print what there is."""
    use_compilation_cache()
    from nfl_pruning.statements.verification import check

    first, _, last = seeds.partition("-")
    if not (first.isdigit() and last.isdigit()):
        raise InvalidArgumentError(f"seeds must be FIRST-LAST; got {seeds!r}.")
    names = only.split(",") if only else list(STATEMENTS)
    store, stop = RecordStore(folder), time.monotonic() + 60 * minutes
    found: dict[str, list[Any]] = {name: [] for name in names}
    for name in names:
        for seed in range(int(first), int(last) + 1):
            if time.monotonic() < stop:
                found[name].append(check(STATEMENTS[name], preset, seed, store, fresh=False))
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(row(name, found[name])) + " |" for name in names if found[name]]
    table = "\n".join(lines)
    click.echo(table)
    if out:
        out.write_text(PAGE.format(seeds=seeds, table=table), encoding="utf-8")


if __name__ == "__main__":
    main()
