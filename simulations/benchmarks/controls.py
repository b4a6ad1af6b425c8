"""How much control variates gain: variance without over variance with them, and what they cost.

``free`` uses the row controls alone, whose means theory knows; ``all`` adds the plane's controls,
whose means come from further selections. ``time`` is that of both over the simulation's alone, so
that ``all / time`` above 1 is a gain for a given time. Run::

    python simulations/benchmarks/controls.py --features 400
"""

from __future__ import annotations

import time
from typing import Any

import click

from nfl_pruning import FixedProbe, Problem, simulate
from nfl_pruning.montecarlo import controlled
from nfl_pruning.rules import RULES

OBSERVABLES = ("cosine", "norm")
CASES: dict[str, dict[str, Any]] = RULES | {
    "exact": {"score": "margin", "selection": "exact"},
    "all kept": {"keep_fraction": 1.0},
}
BASE = Problem(samples_per_feature=5, keep_fraction=0.3, probe=FixedProbe(0.8)).replace(
    signal=2.0, ridge=0.01
)


def measure(case: str, *, features: int, trials: int, draws: int) -> dict[str, float]:
    """Variance ratios and the ratio of times, once everything is compiled."""
    problem = BASE.replace(**CASES[case])
    sizes: dict[str, Any] = {"n_features": features, "n_trials": trials}
    controlled(simulate(problem, **sizes), "cosine", draws=0)
    start = time.perf_counter()
    found = simulate(problem, **sizes, seed=1)
    alone = time.perf_counter() - start
    result = {}
    for name in OBSERVABLES:
        start = time.perf_counter()
        for kind, more in (("free", 0), ("all", draws)):
            error = controlled(found, name, draws=more * trials)[1]
            result[f"{name} {kind}"] = (found.standard_error(name) / error) ** 2
        result["time"] = 1 + (time.perf_counter() - start) / alone
    return result


@click.command(help=__doc__)
@click.option("--features", default=400, show_default=True)
@click.option("--trials", default=200, show_default=True)
@click.option("--draws", default=10, show_default=True, help="Further selections for each trial.")
def main(features: int, trials: int, draws: int) -> None:
    """Print the table."""
    click.echo("rule              cosine: free   all   norm: free   all   time")
    for case in CASES:
        found = measure(case, features=features, trials=trials, draws=draws)
        click.echo(
            f"{case:17s} {found['cosine free']:12.2f} {found['cosine all']:5.2f} "
            f"{found['norm free']:12.2f} {found['norm all']:5.2f} {found['time']:6.2f}"
        )


if __name__ == "__main__":
    main()
