"""Scores of samples by trained networks: the same score functions, with a network's context.

The contract of a score is part of its result: which model, at which step, averaged over how many,
which gradient, on data with which hash. A step that was asked for is the step that is scored: the
state counts its own updates, and scoring refuses a state whose count differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.networks.gradients import chunk_gain, chunk_gap
from nfl_pruning.networks.models import is_dense
from nfl_pruning.networks.training import (
    Samples,
    State,
    Training,
    is_finite,
    replica,
    train_replicas,
)
from nfl_pruning.pruning.probing import prototypes
from nfl_pruning.scores.base import Score
from nfl_pruning.scores.evaluate import evaluate
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_integer

CHUNK, DENSE_CHUNK = 4096, 16384  # rows at most; dense layers gain from large products
CACHED = 128  # convolutions on a processor: activations of 1024 rows cost half as much again a row
GRADIENT_BYTES = 256 * 2**20  # bound on the memory that a chunk of gradients may take

SUPPLIED = frozenset({"input_norm", "features", "trajectory", "gap_gradient", "prototypes"})


@partial(jax.jit, static_argnames="model")
def _outputs(model: nn.Module, params: Any, x: Array) -> Any:
    return model.apply(params, x)


@partial(jax.jit, static_argnames="model")
def _stacked_logits(model: nn.Module, params: Any, x: Array) -> Array:
    return jax.vmap(lambda own: model.apply(own, x)[0])(params)


def chunks(n: int, size: int) -> Iterable[slice]:
    """Slices of at most ``size`` rows that cover n rows."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


@with_own_settings
def logits_of(model: nn.Module, params: Any, x: Array, *, rows: np.ndarray) -> np.ndarray:
    """Logits of each replica of a stack at its own rows, shape (replicas, rows, classes), float32.

    Args:
        model: the network.
        params: stacked parameters.
        x: inputs, shape (n, d).
        rows: shape (replicas, rows); each distinct row is evaluated once for all replicas.
    """
    union, places = np.unique(rows, return_inverse=True)
    places = places.reshape(rows.shape)
    everywhere = len(union) == len(x)
    if is_dense(model) or jax.default_backend() != "cpu":
        size = max(CHUNK * 10 // len(rows), 64)
        parts = [
            np.asarray(_stacked_logits(model, params, x[part if everywhere else union[part]]))
            for part in chunks(len(union), size)
        ]
        return np.concatenate(parts, axis=1)[np.arange(len(rows))[:, None], places]
    found = []
    for i, own in enumerate(replica(params, i) for i in range(len(rows))):
        parts = [
            _outputs(model, own, x[rows[i][part]])[0] for part in chunks(rows.shape[1], CACHED)
        ]
        found.append(np.concatenate(parts))
    return np.stack(found)


@lru_cache(maxsize=32)
def _entries(model: nn.Module, width: int) -> int:
    """Numbers that one sample's activations hold, the input included."""

    def outputs(x: Array) -> Any:
        params = model.init(jax.random.key(0), x)
        return model.apply(params, x, capture_intermediates=True, mutable=["intermediates"])

    seen = jax.eval_shape(outputs, jax.ShapeDtypeStruct((1, width), np.float32))
    return sum(leaf.size for leaf in jax.tree.leaves(seen)) + width


def gradient_chunk(model: nn.Module, width: int, n_classes: int) -> int:
    """Rows that fit the memory bound when every activation is kept ``n_classes`` times over."""
    dense = is_dense(model)
    each = 4 * _entries(model, width) * (1 if dense else 9) * max(n_classes, 1)
    return int(np.clip(GRADIENT_BYTES // each, 1, DENSE_CHUNK if dense else CHUNK))


@dataclass(frozen=True)
class Look:
    """What to compute about samples.

    Attributes:
        scores: the scores.
        scope: which gradient GraNd means: ``"full"``, ``"last-layer"`` or ``"logits"``.
        seed: for the k-means of prototypicality.
    """

    scores: tuple[Score, ...]
    scope: str = "full"
    seed: int = 0

    @property
    def needs(self) -> frozenset[str]:
        """Context entries that any of the scores needs."""
        return frozenset().union(*(score.needs for score in self.scores))

    def check(self) -> None:
        """Raise when a score needs what a network cannot supply."""
        for score in self.scores:
            missing = sorted(score.needs - SUPPLIED)
            if missing:
                raise InvalidArgumentError(
                    f"score {score.name!r} needs {' and '.join(missing)}, which a network's "
                    "training does not give."
                )


@with_own_settings
def look_at(
    model: nn.Module,
    params: Any,
    data: tuple[Array, Array],
    *,
    look: Look,
    trajectory: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Rank keys of all samples for each score by one network, float64, shape (n,) each.

    Args:
        model: the network.
        params: parameters of one replica.
        data: inputs (n, d) and labels (n,).
        look: what to compute.
        trajectory: logits over training, shape (n, time, classes), for scores that need it.
    """
    look.check()
    x, y = data
    size = DENSE_CHUNK if is_dense(model) else CACHED
    if jax.default_backend() != "cpu":
        size = max(size, 1024)
    outputs = [_outputs(model, params, x[rows]) for rows in chunks(len(x), size)]
    logits = np.concatenate([np.asarray(part[0]) for part in outputs])
    found: dict[str, Any] = {}
    if "features" in look.needs:
        found["features"] = np.concatenate([np.asarray(part[1]) for part in outputs])
    if "prototypes" in look.needs:
        found["prototypes"] = prototypes(found["features"], logits.shape[-1], look.seed)
    if "input_norm" in look.needs:
        size = gradient_chunk(model, x.shape[1], 2)
        gain = [chunk_gain(model, params, x[r], y[r], look.scope) for r in chunks(len(x), size)]
        found["input_norm"] = np.concatenate(gain)
    if "gap_gradient" in look.needs:
        size = gradient_chunk(model, x.shape[1], logits.shape[-1])
        gaps = [chunk_gap(model, params, x[r]) for r in chunks(len(x), size)]
        found["gap_gradient"] = np.concatenate(gaps)
    if trajectory is not None:
        found["trajectory"] = trajectory
    return {s.name: evaluate(s, logits, np.asarray(y), found)[0] for s in look.scores}


@dataclass
class Recorder:
    """Watches training: keeps logits at each epoch, and the rank keys at the epochs asked for.

    Attributes:
        model: the network.
        samples: what the replicas train on and are asked to score.
        look: what to compute.
        epochs: score name -> when to compute it, counted in epochs done.
        steps_per_epoch: updates in an epoch, to check the state's own count.
        keys: (score name, epoch) -> rank keys, shape (replicas, n); NaN where a replica diverged.
        steps: epoch -> the update count at which scores were computed.
    """

    model: nn.Module
    samples: Samples
    look: Look
    epochs: Mapping[str, Sequence[int]]
    steps_per_epoch: int
    keys: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)
    _path: list[np.ndarray] = field(default_factory=list)

    def __call__(self, epoch: int, state: State) -> None:
        """Take what this epoch offers."""
        if "trajectory" in self.look.needs and epoch > 0:
            rows = np.asarray(self.samples.rows)
            self._path.append(logits_of(self.model, state.params, self.samples.x, rows=rows))
        if any(epoch in wanted for wanted in self.epochs.values()):
            self.take(epoch, state)

    def take(self, epoch: int, state: State) -> None:
        """Score every replica of the state, which must stand at ``epoch``.

        Raises:
            RuntimeError: the state's own count of updates is another.
        """
        wanted, counts = epoch * self.steps_per_epoch, np.unique(np.asarray(state.step))
        if counts.tolist() != [wanted]:
            raise RuntimeError(
                f"scores of step {wanted} were asked for, got step {counts.tolist()}."
            )
        self.steps[epoch] = wanted
        now = tuple(score for score in self.look.scores if epoch in self.epochs[score.name])
        look, finite = replace(self.look, scores=now), is_finite(state.params)
        for score in now:
            self.keys[score.name, epoch] = np.full(self.samples.rows.shape, np.nan)
        for i in np.flatnonzero(finite).tolist():
            path = np.stack([logits[i] for logits in self._path], axis=1) if self._path else None
            data = (self.samples.x[self.samples.rows[i]], self.samples.labels[i])
            seen = look_at(self.model, replica(state.params, i), data, look=look, trajectory=path)
            for name, values in seen.items():
                self.keys[name, epoch][i] = values

    def of(self, name: str, epoch: int) -> np.ndarray:
        """Rank keys of one score at one epoch, shape (replicas, n)."""
        return self.keys[name, epoch]


def check_epoch(epoch: int, training: Training, score: Score) -> None:
    """Raise when ``score`` cannot be computed at ``epoch`` of such a training."""
    check_integer("epoch", epoch, 1 if "trajectory" in score.needs else 0)
    if epoch > training.epochs:
        raise InvalidArgumentError(f"epoch must be at most {training.epochs}; got {epoch}.")


@with_own_settings
def train_and_score(
    keys: Array,
    samples: Samples,
    *,
    model: nn.Module,
    training: Training,
    look: Look,
    epochs: Mapping[str, Sequence[int]],
    on_epoch: Any = None,
    shape: tuple[int, ...] | None = None,
) -> tuple[Recorder, State]:
    """Train one network a key, and score its own samples at the given epochs.

    Training stops after the last epoch asked for; its learning-rate schedule is that of the full
    ``training.epochs``.

    Args:
        keys: one typed key a network, shape (models,).
        samples: what each network trains on.
        model: the network.
        training: how to train.
        look: what to compute.
        epochs: score name -> when, each in 0 .. training.epochs (scores from a trajectory: from 1).
        on_epoch: called with (epochs done, state) as well.
        shape: of one input before flattening, for augmentation while training.

    Raises:
        InvalidArgumentError: an epoch is out of range, or a score cannot be had from a network.
    """
    look.check()
    for score in look.scores:
        for epoch in epochs[score.name]:
            check_epoch(epoch, training, score)
    n = samples.rows.shape[1]
    recorder = Recorder(model, samples, look, epochs, training.plan(n, n).steps_per_epoch)

    def watch(epoch: int, state: State) -> None:
        recorder(epoch, state)
        if on_epoch:
            on_epoch(epoch, state)

    last = max(max(wanted) for wanted in epochs.values())
    state = train_replicas(
        keys,
        samples,
        model=model,
        training=training,
        on_epoch=watch,
        until=last,
        shape=shape,
    )
    return recorder, state
