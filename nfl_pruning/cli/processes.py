"""Independent pieces of a command's work in several processes, since compilation uses one core."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import click

MOST_JOBS = 4  # the longest piece takes more than a tenth of all


def jobs_option(pieces: str) -> Callable[..., Any]:
    """``--jobs``: how many of the pieces are worked on at a time; None: see ``usual_jobs``."""
    return click.option(
        "--jobs", type=click.IntRange(1), metavar="N",
        help=f"{pieces} at a time, each in a process.  [default: one a core, at most {MOST_JOBS}; "
        "on a GPU or TPU one]",
    )  # fmt: skip


def usual_jobs() -> int:
    """One a core; processes would compete for an accelerator's memory."""
    import jax

    from nfl_pruning.montecarlo.resources import cpu_workers

    return min(MOST_JOBS, cpu_workers()) if jax.default_backend() == "cpu" else 1


def in_processes(
    function: Callable[..., Any], tasks: Mapping[str, tuple], jobs: int
) -> Iterator[tuple[str, Any]]:
    """Call a function of a module for several tasks at a time.

    Args:
        function: what is called in a fresh process.
        tasks: name -> arguments.
        jobs: processes.

    Yields:
        The name of a task and what the function returned, as tasks finish.
    """
    # a forked process would share the state of JAX's threads
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            names = {pool.submit(function, *args): name for name, args in tasks.items()}
            for done in as_completed(names):
                yield names[done], done.result()
        except BrokenProcessPool:
            raise click.ClickException(
                "a process was ended from outside (out of memory?); what is finished is kept: run "
                "the command again, with --jobs 1 for less memory."
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
