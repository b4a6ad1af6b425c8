"""Training many replicas of one network: seeds and pruning rules side by side.

A replica is (initial parameters, rows it may see, their weights). All replicas keep the same number
of rows, so dense networks train as one stacked program. Convolutions gain nothing from stacking on
a processor, and inside a compiled loop they are many times slower there, so they are stepped one
replica at a time from Python; on an accelerator all networks are stacked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from nfl_pruning.networks.augmentation import AUGMENTATIONS, make_augment
from nfl_pruning.networks.models import is_dense
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_choice, check_integer, check_number

OPTIMISERS = ("sgd", "adamw")
BUDGETS = ("epochs", "steps")
NORMALISED = ("kept", "batch")


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        epochs: passes over the data, >= 1.
        batch_size: samples in a step; smaller when fewer are kept.
        optimiser: ``"sgd"`` (Nesterov momentum 0.9) or ``"adamw"``, both on a cosine to zero.
        learning_rate: peak, > 0.
        weight_decay: of all parameters; added to the gradient for SGD, decoupled for AdamW.
        budget: ``"epochs"``: as many passes over the kept rows as the full data would get, hence
            fewer steps; ``"steps"``: as many steps as on the full data.
        augmentation: ``"none"``, or ``"flip-crop"`` for images; of training batches alone, never
            of what is scored or tested.
        normalised: over what weights are scaled to mean 1: ``"kept"``, all kept rows, so that a
            batch's loss is an unbiased estimate of the weighted mean over them; or ``"batch"``,
            each batch by itself, which bounds how far one step can go and is biased by a term of
            the order of 1 / batch size.
    """

    epochs: int = 10
    batch_size: int = 128
    optimiser: str = "sgd"
    learning_rate: float = 0.05
    weight_decay: float = 5e-4
    budget: str = "epochs"
    augmentation: str = "none"
    normalised: str = "kept"

    def __post_init__(self) -> None:
        check_integer("epochs", self.epochs, 1)
        check_integer("batch_size", self.batch_size, 1)
        check_choice("optimiser", self.optimiser, OPTIMISERS)
        check_number("learning_rate", self.learning_rate, "(0, inf)")
        check_number("weight_decay", self.weight_decay, "[0, inf)")
        check_choice("budget", self.budget, BUDGETS)
        check_choice("augmentation", self.augmentation, AUGMENTATIONS)
        check_choice("normalised", self.normalised, NORMALISED)

    def plan(self, n_kept: int, n_all: int) -> Plan:
        """Batch size, steps in an epoch and number of epochs for ``n_kept`` of ``n_all`` rows.

        An epoch uses every kept row once, less a random remainder smaller than a batch.
        """
        batch = min(self.batch_size, n_kept)
        steps, full_steps = n_kept // batch, max(n_all // self.batch_size, 1)
        wanted = self.epochs if self.budget == "epochs" else -(-self.epochs * full_steps // steps)
        return Plan(batch, steps, wanted)


USUAL = Training(epochs=20, batch_size=64)
"""What networks on a user's own data get unless told otherwise."""


class Plan(NamedTuple):
    """Sizes of a training run."""

    batch: int
    steps_per_epoch: int
    epochs: int

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.steps_per_epoch * self.epochs


class State(NamedTuple):
    """Parameters and optimiser of one replica, or of a stack of them; ``step`` counts updates."""

    params: Any
    optimiser: Any
    step: Array


class Samples(NamedTuple):
    """What replicas train on: shared inputs, and for each replica its rows, labels and weights.

    Attributes:
        x: inputs, shape (n, d), float32.
        rows: rows of ``x`` that each replica sees, shape (replicas, kept), int32.
        labels: class codes of these rows, same shape, int32.
        weights: their weights, same shape, float32; mean 1 for each replica.
    """

    x: Array
    rows: Array
    labels: Array
    weights: Array


def make_samples(
    x: Array, rows: np.ndarray, labels: np.ndarray, *, weights: np.ndarray | None = None
) -> Samples:
    """Samples with weights scaled to mean 1 for each replica; equal weights by default."""
    relative = np.ones(rows.shape) if weights is None else np.asarray(weights, float)
    relative = relative / relative.mean(axis=1, keepdims=True)
    return Samples(
        x,
        jnp.asarray(rows, jnp.int32),
        jnp.asarray(labels, jnp.int32),
        jnp.asarray(relative, jnp.float32),
    )


@lru_cache(maxsize=64)
def make_optimiser(training: Training) -> optax.GradientTransformation:
    """The optimiser without its rate: updates are to be multiplied by :func:`rate`."""
    if training.optimiser == "adamw":
        return optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(training.weight_decay))
    return optax.chain(
        optax.add_decayed_weights(training.weight_decay), optax.trace(0.9, nesterov=True)
    )


def rate(peak: float, step: Array, steps: Array) -> Array:
    """The learning rate before update ``step`` of ``steps``: a cosine from the peak to zero."""
    return peak * 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(step / steps, 1.0)))


def weighted_loss(model: nn.Module, params: Any, x: Array, y: Array, weights: Array) -> Array:
    """Mean over the batch of weight times cross-entropy.

    Weights have mean 1 over the kept rows, so this is an unbiased estimate of the weighted average
    sum w_i loss_i / sum w_i over them, in every batch size.
    """
    logits: Any = model.apply(params, x)[0]
    return jnp.mean(weights * optax.softmax_cross_entropy_with_integer_labels(logits, y))


class Recipe(NamedTuple):
    """What a step is made of; hashable, so that programs are compiled once for each.

    The number of steps is data, not part of the program.
    """

    model: nn.Module
    training: Training
    augment: Any

    def start(self, key: Array, x: Array) -> State:
        """A new replica."""
        params = self.model.init(key, x)
        return State(params, make_optimiser(self.training).init(params), jnp.zeros((), jnp.int32))

    def step(self, state: State, batch: Samples, key: Array, steps: Array) -> State:
        """One update of one replica on a batch of its samples."""
        x = batch.x[batch.rows]
        if self.augment:
            x = self.augment(jax.random.fold_in(key, state.step), x)
        weights = batch.weights
        if self.training.normalised == "batch":
            weights = weights / jnp.mean(weights)
        grads = jax.grad(partial(weighted_loss, self.model))(state.params, x, batch.labels, weights)
        optimiser = make_optimiser(self.training)
        updates, opt = optimiser.update(grads, state.optimiser, state.params)
        size = -rate(self.training.learning_rate, state.step, steps)
        moved = jax.tree.map(lambda p, u: p + size * u, state.params, updates)
        return State(moved, opt, state.step + 1)

    def epoch(self, state: State, batches: Samples, key: Array, steps: Array) -> State:
        """One pass of one replica over its batches, one a leading index."""

        def take(state: State, batch: tuple[Array, Array, Array]) -> tuple[State, None]:
            return self.step(state, Samples(batches.x, *batch), key, steps), None

        drawn = (batches.rows, batches.labels, batches.weights)
        return jax.lax.scan(take, state, drawn)[0]


AXES = Samples(*cast(Any, (None, 0, 0, 0)))  # of vmap


@lru_cache(maxsize=64)
def _programs(recipe: Recipe) -> tuple[Callable, Callable, Callable]:
    """Compiled: initial stacked state, one epoch of stacked replicas, one step of one replica."""
    start = jax.jit(jax.vmap(recipe.start, in_axes=(0, None)))
    epoch = jax.jit(jax.vmap(recipe.epoch, in_axes=(0, AXES, 0, None)), donate_argnums=0)
    return start, epoch, jax.jit(recipe.step, donate_argnums=0)


@partial(jax.jit, static_argnames="plan")
def _batches(keys: Array, epoch: Array, samples: Samples, plan: Plan) -> Samples:
    """The kept rows in random order for one epoch, shape (replicas, steps, batch)."""
    n = samples.rows.shape[1]

    def order(key: Array) -> Array:
        shuffled = jax.random.permutation(jax.random.fold_in(key, epoch), n)
        return shuffled[: plan.steps_per_epoch * plan.batch].reshape(-1, plan.batch)

    places = jax.vmap(order)(keys)
    taken = (jax.vmap(lambda values, own: values[own])(part, places) for part in samples[1:])
    return Samples(samples.x, *taken)


@with_own_settings
def train_replicas(
    keys: Array,
    samples: Samples,
    *,
    model: nn.Module,
    training: Training,
    n_all: int | None = None,
    on_epoch: Callable[[int, State], Any] | None = None,
    until: int | None = None,
    shape: tuple[int, ...] | None = None,
) -> State:
    """Train a stack of replicas.

    Args:
        keys: one typed key a replica, shape (replicas,); split into initialisation, order and
            augmentation, so replicas with equal keys start alike and see their lists in like order.
        samples: from :func:`make_samples`.
        model: the network.
        training: how to train.
        n_all: samples before pruning, for the budget of equal steps; those given by default.
        on_epoch: called with (epochs done, stacked state) before the first epoch and after each.
        until: stop after so many epochs of the schedule; after all of them by default.
        shape: of one input before flattening, for augmentation.

    Returns:
        The stacked final state; ``step`` says how many updates were made.
    """
    n_kept = samples.rows.shape[1]
    plan = training.plan(n_kept, n_all or n_kept)
    own = jax.vmap(partial(jax.random.split, num=3))(keys)
    recipe = Recipe(model, training, make_augment(training.augmentation, shape))
    start, epoch, step = _programs(recipe)
    state = start(own[:, 0], samples.x[:1])
    stacked = is_dense(model) or jax.default_backend() != "cpu"
    if on_epoch:
        on_epoch(0, state)
    steps = jnp.asarray(plan.steps, jnp.float32)
    for done in range(plan.epochs if until is None else until):
        batches = _batches(own[:, 1], jnp.asarray(done), samples, plan)
        if stacked:
            state = epoch(state, batches, own[:, 2], steps)
        else:
            state = _one_by_one(partial(step, steps=steps), state, batches, own[:, 2])
        if on_epoch:
            on_epoch(done + 1, state)
    return state


def _one_by_one(step: Callable, state: State, batches: Samples, keys: Array) -> State:
    """The same epoch, one replica after another, each step its own call."""
    finished, parts = [], [np.asarray(part) for part in batches[1:]]
    for i in range(len(keys)):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], state)
        for rows, labels, weights in zip(*(part[i] for part in parts), strict=True):
            own = step(own, Samples(batches.x, rows, labels, weights), keys[i])
        finished.append(own)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *finished)


def replica(params: Any, index: int) -> Any:
    """The parameters of one replica of a stack."""
    return jax.tree.map(lambda leaf: leaf[index], params)


def is_finite(params: Any) -> np.ndarray:
    """Whether all parameters of each replica are finite, shape (replicas,)."""
    leaves = [
        np.isfinite(np.asarray(leaf)).reshape(len(leaf), -1).all(axis=1)
        for leaf in jax.tree.leaves(params)
    ]
    return np.all(leaves, axis=0)
