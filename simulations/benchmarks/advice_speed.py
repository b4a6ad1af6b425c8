"""How long an advice takes: ten classes, 127 directions, 10,000 rows, six policies, six fractions.

The rows are the last hidden layer of an MLP on images of Fashion-MNIST, as in
``simulations/advice.py``. Compilation is included; features are computed before. Run it alone::

    python simulations/benchmarks/advice_speed.py
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from nfl_pruning.experiments.scripts import load
from nfl_pruning.realdata.advise import advise
from nfl_pruning.realdata.policies import Policy
from nfl_pruning.records import provenance, to_json

SIMULATION = Path(__file__).parents[1] / "advice.py"
POLICIES = [
    Policy("el2n"),
    Policy("el2n", "easiest"),
    Policy("margin"),
    Policy("el2n", "hardest", 0.5),
    Policy("margin", "hardest", 0.5),
]  # and random pruning


@click.command(help=__doc__)
@click.option("--rows", default=10_000, show_default=True, help="How many.")
def main(rows: int) -> None:
    """Advise once, and say what it took."""
    x, y = load(SIMULATION).features_of("mlp")
    begin = time.perf_counter(), time.process_time()
    found = advise(x[:rows], y[:rows], scores=POLICIES, scale="common")
    seconds = time.perf_counter() - begin[0], time.process_time() - begin[1]
    result = {
        "rows": rows,
        "directions": None if found.source is None else found.source.space.n_features,
        "policies": len({one.policy for one in found.predictions}),
        "keep fractions": len(found.keep_fractions),
        "seconds": seconds[0],
        "processor seconds": seconds[1],
        "provenance": provenance(),
    }
    click.echo(to_json(result, indent=2))


if __name__ == "__main__":
    main()
