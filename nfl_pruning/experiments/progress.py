"""Progress of long work on standard error: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress(total: int, text: str) -> Iterator[Any]:
    """A bar on standard error, shown on a terminal only.

    Yields ``advance(steps=1, **changes)``, where changes may set ``completed`` and ``total``.
    """
    if not sys.stderr.isatty() or total < 2:
        yield lambda steps=1, **changes: None
        return
    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=total)

        def advance(steps: int = 1, **changes: Any) -> None:
            bar.update(task, **(changes or {"advance": steps}))

        yield advance


@contextmanager
def shown(text: str) -> Iterator[Any]:
    """A bar for a library call on a terminal; yields its ``progress(done, total)``."""
    with progress(2, text) as advance:
        yield lambda done, total: advance(completed=done, total=total)


@contextmanager
def steps(text: str, *, lines: bool = False) -> Iterator[Any]:
    """Progress of an experiment; yields ``report(done, total)``.

    A bar on a terminal; elsewhere, or where lines are asked for, one when it starts and one at each
    quarter.
    """
    if sys.stderr.isatty() and not lines:
        with shown(text) as report:
            yield report
        return
    said = {-1}

    def report(done: int, total: int) -> None:
        quarter = 4 * done // max(total, 1)
        if quarter not in said:
            said.add(quarter)
            print(f"{text}: {done} of {total}", file=sys.stderr, flush=True)

    yield report
