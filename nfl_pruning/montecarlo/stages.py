"""A batch in two compiled stages, so that rival rules share the costlier one.

Choosing which samples to keep depends on score, protocol and link; drawing their rows and fitting
depends on shapes alone. Compiled apart, the second stage serves every rule that keeps as many.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.links import LINKS
from nfl_pruning.losses import Loss
from nfl_pruning.montecarlo.plan import Parameters, Plan
from nfl_pruning.montecarlo.sampling import Kept
from nfl_pruning.montecarlo.trials import (
    Layout,
    Outcome,
    chosen_by_fixed_probe,
    collect,
    fit_chosen,
    run_batch,
)
from nfl_pruning.scores import SCORES


class _Chosen(NamedTuple):
    kept: Kept
    rest: Array  # the words of the key that the other coordinates come from


@partial(jax.jit, static_argnames=("size", "plan"))
def _choose(
    root: Array, first: Array, count: Array, parameters: Parameters, *, size: int, plan: Plan
) -> _Chosen:
    def one(trial: Array) -> _Chosen:
        kept, rest = chosen_by_fixed_probe(root, trial, parameters, plan=plan)
        return _Chosen(kept, jax.random.key_data(rest))

    return collect(one, first, count, size)


@partial(jax.jit, static_argnames=("size", "plan", "loss", "layout"))
def _fit(
    chosen: _Chosen,
    count: Array,
    ridge: Array,
    *,
    size: int,
    plan: Plan,
    loss: Loss,
    layout: Layout,
) -> Outcome:
    def one(number: Array) -> Outcome:
        kept, words = jax.tree.map(lambda part: part[number], chosen)
        rest = jax.random.wrap_key_data(words, impl="threefry2x32")
        return fit_chosen(rest, kept, ridge, plan=plan, loss=loss, layout=layout)

    return collect(one, jnp.asarray(0), count, size)


def shapes_only(plan: Plan) -> Plan:
    """The plan with everything replaced that rows and fits do not depend on."""
    return replace(
        plan, n_samples=1, link=LINKS["sign"], score=SCORES["random"], counts=None,
        selection=None, keep="hardest",
    )  # fmt: skip


def run_staged(
    root: Array,
    first: Array,
    count: Array,
    parameters: Parameters,
    *,
    size: int,
    plan: Plan,
    loss: Loss,
    layout: Layout,
) -> Outcome:
    """What ``run_batch`` computes; a fitted probe leaves nothing to share, and goes through it."""
    if plan.in_sample or plan.pilot is not None:
        return run_batch(
            root, first, count, parameters, size=size, plan=plan, loss=loss, layout=layout
        )
    chosen = _choose(root, first, count, parameters, size=size, plan=plan)
    return _fit(
        chosen, count, parameters.ridge,
        size=size, plan=shapes_only(plan), loss=loss, layout=layout,
    )  # fmt: skip
