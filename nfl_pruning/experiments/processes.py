"""Independent pieces of work in several processes, since compilation uses one core."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from nfl_pruning.errors import LostProcessError

MOST_JOBS = 4  # the longest piece takes more than a tenth of all


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

    Raises:
        LostProcessError: a process was ended from outside.
    """
    # a forked process would share the state of JAX's threads
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            names = {pool.submit(function, *args): name for name, args in tasks.items()}
            for done in as_completed(names):
                yield names[done], done.result()
        except BrokenProcessPool:
            raise LostProcessError(
                "a process was ended from outside (out of memory?); what is finished is kept."
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
