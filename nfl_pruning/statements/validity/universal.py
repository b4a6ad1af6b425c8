"""Universal approximators learn the kept samples' own label law, pointwise."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from nfl_pruning.problem import Problem
from nfl_pruning.scores.base import Context, binary_logits
from nfl_pruning.selections import RankSelection
from nfl_pruning.selections.finite import band_weights, realised_counts
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring.summary import mean_and_error
from nfl_pruning.theory.abundant.universal import universal_limit

SIGNAL, WIDTH, BATCH = 2.0, 32, 1024
SIZES = {"quick": (16, 1200), "paper": (32, 6000)}  # networks, steps
CASES = {
    "aware-hardest": {"score": "el2n", "keep": "hardest", "keep_fraction": 0.6},
    "agnostic-hardest": {"score": "entropy", "keep": "hardest", "keep_fraction": 0.5},
    "agnostic-easiest": {"score": "entropy", "keep": "easiest", "keep_fraction": 0.5},
    "exact": {"score": "el2n", "keep": "hardest", "keep_fraction": 0.6, "selection": "exact"},
}
GRID = np.linspace(-3, 3, 241)


def problem_of(case: str) -> Problem:
    """A pruning problem with a perfect probe."""
    return Problem().replace(signal=SIGNAL, **CASES[case])


def start(key: Array) -> list[tuple[Array, Array]]:
    """Weights of a network with two inputs and two hidden layers."""
    sizes = (2, WIDTH, WIDTH, 1)
    keys = jax.random.split(key, 3)
    return [
        (jax.random.normal(k, (a, b)) * jnp.sqrt(2 / a), jnp.zeros(b))
        for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def network(weights: list[tuple[Array, Array]], x: Array) -> Array:
    """Logits of inputs (n, 2)."""
    for matrix, shift in weights[:-1]:
        x = jax.nn.tanh(x @ matrix + shift)
    matrix, shift = weights[-1]
    return (x @ matrix + shift)[:, 0]


@partial(jax.jit, static_argnums=(1, 2))
def train(key: Array, problem: Problem, steps: int) -> Array:
    """One pass over fresh pruned batches; the logits on the grid (second input 0)."""
    assert isinstance(problem.selection, RankSelection)
    counts = realised_counts(problem.selection.strata(problem.keep_fraction), BATCH)
    key_start, key_data = jax.random.split(key)
    weights = start(key_start)
    optimiser = optax.adam(optax.cosine_decay_schedule(1e-2, steps))

    def loss(weights: Any, key: Array) -> Array:
        key_x, key_y, key_select = jax.random.split(key, 3)
        x = jax.random.normal(key_x, (BATCH, 2))
        positive = jax.random.uniform(key_y, (BATCH,)) < problem.teacher.link(SIGNAL * x[:, 0])
        margin = SIGNAL * x[:, 0]
        rank = problem.score.rank_key(binary_logits(margin), positive.astype(int), Context())
        kept = band_weights(key_select, rank, counts, problem.keep)[0]
        y = jnp.where(positive, 1.0, -1.0)
        return jnp.sum(kept * jax.nn.softplus(-y * network(weights, x))) / jnp.sum(kept)

    def step(state, number: Array):
        weights, memory = state
        slope = jax.grad(loss)(weights, jax.random.fold_in(key_data, number))
        moves, memory = optimiser.update(slope, memory)
        return (optax.apply_updates(weights, moves), memory), None

    (weights, _), _ = jax.lax.scan(step, (weights, optimiser.init(weights)), jnp.arange(steps))
    final: Any = weights
    grid = jnp.stack([jnp.asarray(GRID, jnp.float32), jnp.zeros(len(GRID))], 1)
    return network(final, grid)


def measure(preset: str, seed: int) -> Measured:
    """Networks against the pointwise limit."""
    count, steps = SIZES[preset]
    quantities, plots = [], []
    density = np.exp(-0.5 * GRID**2)
    for number, case in enumerate(CASES):
        problem = problem_of(case)
        limit = universal_limit(problem, GRID)
        mass = density * limit.kept / np.sum(density * limit.kept)
        after = np.where(limit.kept, limit.after, 0.5)
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 700 + number), count)
        logits = np.asarray(jax.lax.map(lambda key, p=problem: train(key, p, steps), keys), float)
        probability = 1 / (1 + np.exp(-logits))
        turned = ((logits > 0) != (limit.before > 0.5)) @ mass
        flipped = float(mass @ limit.flipped)
        value, dof = mean_and_error(turned), count - 1
        text = f"mass where the Bayes label flips, {case}"
        if flipped > 0:
            quantities.append(Quantity(text, flipped, *value, 0.2, dof))
        else:  # a network's boundary is never exactly in place: some mass flips, but little
            quantities.append(Quantity(text, 0.1, *value, 0.01, dof, "below"))
        off = mean_and_error(np.abs(probability - after) @ mass)
        bound = 0.2 if flipped > 0 else 0.05  # past the cut P_r jumps from 0 to 1
        text = f"mean |P_net - P_r|, {case}"
        quantities.append(Quantity(text, bound, *off, 0.01, dof, "below"))
        shown = slice(20, 221, 8)
        values = probability[:, shown]
        plots.append(
            Plot(f"P(y = 1 | z) after pruning: {case}", "input along the teacher, z",
                 "probability",
                 [Series("before pruning", GRID.tolist(), limit.before.tolist(), look="full"),
                  Series("kept law", GRID[limit.kept].tolist(), after[limit.kept].tolist(),
                         look=case),
                  Series("networks", GRID[shown].tolist(), values.mean(0).tolist(),
                         (values.std(0, ddof=1) / np.sqrt(count)).tolist(), case, points=True)])
        )  # fmt: skip
    return Measured(quantities, plots)


STATEMENT = Statement(
    identifier="universal",
    title="A universal approximator learns the kept law: label-aware pruning flips it past the cut",
    claim=(
        "With abundant data such a model tends to `P_r(y | x) ∝ P(y | x) π(x, y) ω(x, y)`. "
        "Label-agnostic pruning cancels in it: the Bayes classifier survives on the kept support. "
        "Label-aware keep-hardest drops the likelier label beyond the cut and flips the classifier "
        "exactly there; where both labels stay nothing changes. Exact calibration changes nothing."
    ),
    assumptions=(
        "logistic link of signal 2, a perfect probe",
        "a network of two hidden layers of 32, one pass over fresh samples",
    ),
    source="Ayed and Hayou 2023 (truncated law); the pointwise form is elementary.",
    why="The loss is minimised pointwise, by the conditional label law of what is kept.",
    measure=measure,
)
