"""Many problems of one kind at once: the compiled solver, run over chunks of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from threading import Lock
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nfl_pruning.settings import own_settings
from nfl_pruning.theory.integrators.conditioned.cell import Kind
from nfl_pruning.theory.integrators.conditioned.limit import Limit, Unknowns, limit
from nfl_pruning.theory.integrators.conditioned.mesh import Nodes
from nfl_pruning.theory.integrators.conditioned.rule import Rule, Setting
from nfl_pruning.theory.selection_law.keep_law import MASS_TOLERANCE


class Tier(NamedTuple):
    """A resolution; with fewer than ``least`` problems left, compiling costs more than `solve`.

    That is so on a processor; an accelerator compiles every tier it needs.
    """

    nodes: Nodes
    least: int


TIERS = (
    Tier(Nodes(48, 48), 1),
    Tier(Nodes(96, 96), 48),
    Tier(Nodes(112, 112, graded=True), 32),
    Tier(Nodes(240, 240, graded=True), 24),
)
IN_SAMPLE_TIERS = (  # there `solve` takes seconds
    Tier(Nodes(56, 56), 1),
    Tier(Nodes(112, 112), 6),
    Tier(Nodes(160, 160, graded=True), 6),
    Tier(Nodes(320, 320, graded=True), 6),
)
TARGET = 1e-8
RESIDUAL = 1e-10
CHUNK = 32  # problems a call, one after another
WIDE_CHUNKS = (512, 2048)  # side by side: for few problems, most of a wide chunk would be padding

Progress = Callable[[int], Any]

_COMPILING = Lock()


class Program(NamedTuple):
    """What is compiled: for which problems and bands, on how many nodes, and how; see ``limit``."""

    kind: Kind
    rule: Rule
    nodes: Nodes
    platform: str
    follow_path: bool
    bands: int


def _program(asked: Program, size: int) -> Callable:
    """A compiled function of ``size`` settings; threads that ask at once wait for one."""
    with _COMPILING:
        return _compiled(asked, size)


@lru_cache(maxsize=16)  # each holds a hundred memory maps, of which a process has few
def _compiled(asked: Program, size: int) -> Callable:
    kind, rule, nodes, platform, follow_path, _ = asked

    def one(setting: Setting) -> tuple[Limit, Unknowns]:
        with jax.default_matmul_precision("highest"):
            return limit(kind, setting, rule, nodes=nodes, follow_path=follow_path)

    # One problem after another keeps its arrays in a processor's cache, and lets each stop when it
    # has converged; an accelerator needs them side by side.
    many = partial(jax.lax.map, one) if platform == "cpu" else jax.vmap(one)
    with jax.enable_x64(True):
        entries = dict.fromkeys(Setting._fields, (size,))
        entries |= dict.fromkeys(("share", "keep", "weight"), (size, asked.bands))
        shapes = {n: jax.ShapeDtypeStruct(shape, jnp.float64) for n, shape in entries.items()}
        return jax.jit(many).lower(Setting(**shapes)).compile()


def _chunk(platform: str, count: int) -> int:
    """Problems a call, where there are so many in all."""
    if platform == "cpu":
        return CHUNK
    few, many = WIDE_CHUNKS
    return few if count <= many // 2 else many


class Found(NamedTuple):
    """Results of a batch, numpy arrays of shape (problems,).

    Attributes:
        limit: cosine, norm and errors; NaN where no root was found.
        state: the unknowns at the root, NaN likewise.
        good: whether the error estimate meets the target, and the kept mass is right.
    """

    limit: Limit
    state: Unknowns
    good: np.ndarray


def run_batch(
    kind: Kind, rule: Rule, settings: Setting, *, progress: Progress = lambda n: None
) -> Found:
    """Solve a batch of one kind, on finer quadratures where the error estimate asks for it.

    Args:
        kind: what is compiled in.
        rule: how the selection cuts the order.
        settings: numpy arrays of shape (problems,) or (problems, bands).
        progress: called with the number of problems that were finished since its last call.
    """
    platform = jax.default_backend()
    count, bands = settings.share.shape
    values: np.ndarray | None = None
    good = np.zeros(count, bool)
    for tier in IN_SAMPLE_TIERS if rule.probe == "in-sample" else TIERS:
        todo = np.flatnonzero(~good)
        if len(todo) < (tier.least if platform == "cpu" else 1):
            break
        asked = Program(kind, rule, tier.nodes, platform, platform == "cpu", bands)
        found = _run(asked, _part(settings, todo))
        if not asked.follow_path:
            found = _followed(asked, _part(settings, todo), found)
        if values is None:
            values = np.full((found.shape[0], count), np.nan)
        values[:, todo] = found
        numbers = Limit(*found[: len(Limit._fields)])
        fine = (numbers.error_estimate <= TARGET) & (numbers.residual <= RESIDUAL)
        fine &= (numbers.mass_error <= MASS_TOLERANCE) & np.isfinite(found).all(axis=0)
        good[todo] = fine
        progress(int(fine.sum()))
    assert values is not None
    return Found(
        Limit(*values[: len(Limit._fields)]), Unknowns(*values[len(Limit._fields) :]), good
    )


def _followed(asked: Program, settings: Setting, found: np.ndarray) -> np.ndarray:
    """What was found, the problems that no guess solved followed from a larger ridge.

    Side by side, one such problem would hold up all others: an accelerator takes them apart.
    """
    stuck = np.flatnonzero(~(Limit(*found[: len(Limit._fields)]).residual <= RESIDUAL))
    if len(stuck):
        found[:, stuck] = _run(asked._replace(follow_path=True), _part(settings, stuck))
    return found


def _part(settings: Setting, places: np.ndarray) -> Setting:
    return Setting(*(np.asarray(entry)[places] for entry in settings))


def _run(asked: Program, settings: Setting) -> np.ndarray:
    """All numbers of the limits and states, shape (numbers, problems), chunk by chunk."""
    count = len(settings.ridge)
    size = _chunk(asked.platform, count)
    program = _program(asked, size)
    starts = range(0, count, size)

    def one(begin: int) -> np.ndarray:
        rows = np.minimum(np.arange(begin, begin + size), count - 1)  # repeat the last one
        with jax.enable_x64(True), own_settings():  # these scopes belong to the thread
            chunk = Setting(*(np.asarray(part[rows], np.float64) for part in settings))
            found = program(chunk)  # numpy arrays: handing them over one by one costs more
        return np.stack([np.asarray(part) for group in found for part in group])

    if asked.platform == "cpu":
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            parts = list(pool.map(one, starts))
    else:
        parts = [one(begin) for begin in starts]
    return np.concatenate(parts, axis=1)[:, :count]
