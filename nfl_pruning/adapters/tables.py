"""The outcome as columns: of its own, or added to the table of the user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.pruned import Pruned

COLUMNS = ("score", "rank", "keep", "weight", "keep_probability")


def result_columns(pruned: Pruned) -> dict[str, np.ndarray]:
    """What pruning says of each row, in the order of the data: name -> values of shape (n,).

    * ``id``: the data's ids, or row numbers;
    * ``score``: difficulty, larger = harder; NaN for protected rows;
    * ``rank``: place in :attr:`Pruned.order`, from 1; rows with rank <= m are what a budget of m
      keeps, where the rule is nested. 0 for protected rows;
    * ``keep``: whether the row stays; protected rows do;
    * ``weight``: 0 for dropped rows, 1 for protected ones;
    * ``keep_probability``: chance that the row had to stay; 1 for protected ones.
    """
    n = len(pruned.weights)
    rank = np.zeros(n, int)
    rank[pruned.order] = np.arange(1, pruned.n_candidates + 1)
    keep, safe = np.zeros(n, bool), np.zeros(n, bool)
    keep[pruned.indices] = True
    if pruned.protected is not None:
        safe = np.asarray(pruned.protected)
    return {
        "id": np.arange(n) if pruned.ids is None else pruned.ids,
        "score": np.asarray(pruned.scores),
        "rank": rank,
        "keep": keep | safe,
        "weight": np.where(safe, 1.0, pruned.weights),
        "keep_probability": np.where(safe, 1.0, pruned.keep_probabilities),
    }


def added_columns(pruned: Pruned, names: list[str], n_rows: int) -> dict[str, np.ndarray]:
    """The columns to add to a table with these names; ``pruning_`` goes before a name it has.

    Raises:
        InvalidArgumentError: the table has another number of rows.
    """
    if n_rows != len(pruned.weights):
        raise InvalidArgumentError(
            f"the table must have the {len(pruned.weights)} rows that were pruned; it has {n_rows}."
        )
    found = result_columns(pruned)
    return {f"pruning_{name}" if name in names else name: found[name] for name in COLUMNS}


def add_columns(table: Any, pruned: Pruned) -> Any:
    """The user's table with the columns ``score, rank, keep, weight, keep_probability``.

    Args:
        table: what was pruned, rows in the same order: a DataFrame of pandas or polars, an Arrow
            table, a Hugging Face ``Dataset``, or a mapping of columns. It is not changed.
        pruned: the outcome.

    Returns:
        A table of the same library; a dictionary for a mapping.
    """
    if hasattr(table, "iloc"):
        more = added_columns(pruned, list(map(str, table.columns)), len(table))
        return table.assign(**more)
    if hasattr(table, "append_column"):
        return _arrow(table, pruned)
    if hasattr(table, "column_names") and hasattr(table, "add_column"):
        return _hugging_face(table, pruned)
    if hasattr(table, "with_columns"):
        more = added_columns(pruned, list(table.columns), len(table))
        series = type(table[table.columns[0]])
        return table.with_columns([series(name, values) for name, values in more.items()])
    if isinstance(table, Mapping):
        length = len(next(iter(table.values()), ()))
        return {**table, **added_columns(pruned, list(map(str, table)), length)}
    raise InvalidArgumentError(
        "table must be a DataFrame, an Arrow table, a Hugging Face Dataset or a mapping of "
        f"columns; got {type(table).__name__}."
    )


def _arrow(table: Any, pruned: Pruned) -> Any:
    for name, values in added_columns(pruned, list(table.schema.names), table.num_rows).items():
        table = table.append_column(name, [values.tolist()])
    return table


def _hugging_face(table: Any, pruned: Pruned) -> Any:
    for name, values in added_columns(pruned, list(table.column_names), len(table)).items():
        table = table.add_column(name, values.tolist())
    return table
