"""The error that limits of three classes and more state, beside their scatter over seeds.

Problems of ``mixture_agreement.py`` are solved with other quasi-random points again and again. A
departure from the mean over seeds, in units of the error stated with it, should be about 1 in the
root mean square. Run it::

    python simulations/benchmarks/mixture_errors.py --problem 49 --problem 33
"""

from __future__ import annotations

from typing import Any

import click
import numpy as np
from mixture_agreement import SMALL, problem_of

from nfl_pruning import solve
from nfl_pruning.experiments.compilation import use_compilation_cache
from nfl_pruning.experiments.progress import progress
from nfl_pruning.records import provenance, to_json
from nfl_pruning.theory.mixture.many_classes import many


def of_problem(index: int, seeds: int, tolerance: float) -> dict[str, Any]:
    """Scatter of the test error, and what is stated."""
    values, errors, usual = np.empty(seeds), np.empty(seeds), many.ENTROPY
    try:
        with progress(seeds, f"problem {index}") as advance:
            for seed in range(seeds):
                many.ENTROPY = 1000 + seed
                found = solve(problem_of(index, SMALL), tolerance=tolerance)
                values[seed], errors[seed] = found.test_error, found.error_estimate
                advance()
    finally:
        many.ENTROPY = usual
    spread = float(values.std(ddof=1))
    scaled = (values - values.mean()) / errors * np.sqrt(seeds / (seeds - 1))
    return {
        "problem": index,
        "standard deviation over seeds": spread,
        "stated, root mean square": float(np.sqrt(np.mean(errors**2))),
        "departures in stated errors, root mean square": float(np.sqrt(np.mean(scaled**2))),
    }


@click.command(help=__doc__)
@click.option("--problem", "problems", type=int, multiple=True, default=(49, 33), show_default=True)
@click.option("--seeds", default=48, show_default=True)
@click.option("--tolerance", default=5e-4, show_default=True, help="Of the test error.")
def main(problems: tuple[int, ...], seeds: int, tolerance: float) -> None:
    """Solve, and compare."""
    use_compilation_cache()
    found = [of_problem(index, seeds, tolerance) for index in problems]
    click.echo(to_json({"problems": found, "provenance": provenance()}, indent=2))


if __name__ == "__main__":
    main()
