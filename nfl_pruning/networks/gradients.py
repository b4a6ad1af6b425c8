"""Per-sample gradient norms without per-sample gradients.

For a dense layer with input a and pre-activation z the gradient of one sample's loss is the outer
product of a and delta = dloss/dz, so its squared norm is ||a||^2 ||delta||^2 (Goodfellow 2015,
arXiv 1510.01799). A convolution applies one kernel at every place p, so its gradient is
sum_p a_p delta_p^T over input patches a_p: its norm comes from that matrix, or from the Gram
matrices of patches and deltas over places, whichever is cheaper (Bu et al. 2022, 2205.10683).

The gradient of the loss is J^T (p - onehot), with J the Jacobian of the logits. We push the *unit*
error vector through J^T and multiply by EL2N afterwards, which keeps its relative precision for
samples that the network is sure of; in float32 the plain gradient of those would be zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.kernels.convolution import patches
from nfl_pruning.numerics.log_odds import class_log_odds
from nfl_pruning.scores.base import Score
from nfl_pruning.validation import check_choice

SCOPES = ("full", "last-layer", "logits")


def check_scope(gradient: str, scores: Sequence[Score]) -> str:
    """The gradient that GraNd means; one may be chosen where GraNd is among the scores."""
    check_choice("gradient", gradient, SCOPES)
    if gradient != SCOPES[0] and all(score.name != "grand" for score in scores):
        raise InvalidArgumentError(f"gradient is for the score grand alone; got {gradient!r}.")
    return gradient


def unit_error(logits: Array, labels: Array) -> Array:
    """(softmax - onehot) / its norm, shape (batch, classes), without cancellation."""
    log_odds = class_log_odds(logits)
    onehot = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    log_size = jnp.where(onehot > 0, jax.nn.log_sigmoid(-log_odds), jax.nn.log_sigmoid(log_odds))
    size = jnp.exp(log_size - jnp.max(log_size, axis=-1, keepdims=True))
    signed = jnp.where(onehot > 0, -size, size)
    return signed / jnp.linalg.norm(signed, axis=-1, keepdims=True)


def _patches(a: Array, layer: nn.Conv) -> Array:
    """Input patches under the kernel, shape (batch, places, kernel size * channels)."""
    kernel = tuple(np.atleast_1d(layer.kernel_size))
    strides, padding = tuple(np.broadcast_to(layer.strides or 1, 2)), layer.padding
    dilation = np.broadcast_to(layer.kernel_dilation or 1, 2)
    if not isinstance(padding, str) or padding not in ("SAME", "VALID") or dilation.max() > 1:
        raise InvalidArgumentError("gradient norms need convolutions with SAME or VALID padding.")
    found, places = patches(a, kernel, strides, padding)
    return found.reshape(len(a), places[0] * places[1], -1)


def _outer_squares(a: Array, delta: Array) -> Array:
    """||sum_p a_p delta_p^T||^2 for a (batch, places, i) and delta (batch, places, o)."""
    places, inputs, outputs = a.shape[1], a.shape[2], delta.shape[2]
    if places * (inputs + outputs) < inputs * outputs:
        gram = jnp.einsum("bpi,bqi->bpq", a, a) * jnp.einsum("bpo,bqo->bpq", delta, delta)
        return jnp.sum(gram, axis=(1, 2))
    return jnp.sum(jnp.einsum("bpi,bpo->bio", a, delta) ** 2, axis=(1, 2))


def _dense_squares(layer: Any, a: Array, delta: Array) -> Array:
    squared = jnp.sum(delta**2, axis=-1)
    return squared * (jnp.sum(a**2, axis=-1) + layer.use_bias)


def _conv_squares(layer: Any, a: Array, delta: Array) -> Array:
    flat = delta.reshape(len(delta), -1, delta.shape[-1])
    squares = _outer_squares(_patches(a, layer), flat)
    return squares + layer.use_bias * jnp.sum(jnp.sum(flat, axis=1) ** 2, axis=-1)


def _group_norm_squares(layer: Any, a: Array, delta: Array) -> Array:
    grouped = a.reshape(len(a), -1, layer.num_groups, a.shape[-1] // layer.num_groups)
    mean = grouped.mean(axis=(1, 3), keepdims=True)
    spread = jnp.sqrt(grouped.var(axis=(1, 3), keepdims=True) + layer.epsilon)
    normal = ((grouped - mean) / spread).reshape(len(a), -1, a.shape[-1])
    flat = delta.reshape(normal.shape)
    scale, shift = jnp.sum(flat * normal, axis=1), jnp.sum(flat, axis=1)
    return layer.use_scale * jnp.sum(scale**2, -1) + layer.use_bias * jnp.sum(shift**2, -1)


RULES = {nn.Dense: _dense_squares, nn.Conv: _conv_squares, nn.GroupNorm: _group_norm_squares}


def _tapped(model: nn.Module, params: Any, x: Array, nudges: dict | None) -> tuple[Array, dict]:
    """Logits, and {layer path: (layer, input, output)}; outputs are moved by ``nudges``."""
    seen: dict[str, tuple] = {}

    def tap(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        out = call(*args, **kwargs)
        layer = context.module
        if context.method_name != "__call__" or type(layer) not in RULES:
            return out
        path = "/".join(layer.path)
        seen[path] = (layer, args[0], out)
        return out if nudges is None else out + nudges[path]

    with nn.intercept_methods(tap):
        logits: Any = model.apply(params, x)[0]
    return logits, seen


def _check_covered(params: Any, paths: set[str]) -> None:
    """Raise when a parameter belongs to a layer for which no rule is known."""
    for path, _ in jax.tree_util.tree_flatten_with_path(params["params"])[0]:
        owner = "/".join(entry.key for entry in path[:-1])
        if owner not in paths:
            raise InvalidArgumentError(
                "gradient norms know dense, convolution and group-norm layers; "
                f"{owner!r} is another."
            )


def gradient_gain(model: nn.Module, params: Any, x: Array, *, labels: Array, scope: str) -> Array:
    """Norm of the per-sample loss gradient per unit of EL2N, shape (batch,).

    EL2N times this number is GraNd. Nothing larger than a layer's input and output is stored.

    Args:
        model: built of dense, convolution and group-norm layers.
        params: one set of parameters, as ``model.init`` gives it.
        x: inputs, shape (batch, d).
        labels: class codes, shape (batch,).
        scope: ``"full"``: all parameters; ``"last-layer"``: weights and biases of the last dense
            layer; ``"logits"``: 1, so that GraNd is EL2N.
    """
    check_choice("gradient scope", scope, SCOPES)
    if scope == "logits":
        return jnp.ones(len(x), x.dtype)
    if scope == "last-layer":
        features: Any = model.apply(params, x)[1]
        return jnp.sqrt(jnp.sum(features**2, axis=-1) + 1)
    logits, seen = _tapped(model, params, x, None)
    _check_covered(params, set(seen))
    nudges = {path: jnp.zeros_like(out) for path, (_, _, out) in seen.items()}
    _, pull = jax.vjp(lambda moved: _tapped(model, params, x, moved)[0], nudges)
    (deltas,) = pull(unit_error(logits, labels))
    squares = [RULES[type(layer)](layer, a, deltas[path]) for path, (layer, a, _) in seen.items()]
    return jnp.sqrt(sum(squares, jnp.zeros(len(x), x.dtype)))


def gap_gradient(model: nn.Module, params: Any, x: Array) -> Array:
    """Norm of the input gradient of (largest logit - logit k) for each k, shape (batch, classes).

    The entry of the largest logit itself is 0.
    """
    logits, pull = jax.vjp(lambda moved: model.apply(params, moved)[0], x)
    onehots = jnp.eye(logits.shape[-1], dtype=x.dtype)
    slopes = jax.vmap(lambda row: pull(jnp.broadcast_to(row, logits.shape))[0])(onehots)
    slopes = jnp.moveaxis(slopes, 0, 1)  # (batch, classes, d)
    top = jnp.take_along_axis(slopes, jnp.argmax(logits, -1)[:, None, None], axis=1)
    return jnp.linalg.norm(top - slopes, axis=-1)


@partial(jax.jit, static_argnames=("model", "scope"))
def chunk_gain(model: nn.Module, params: Any, x: Array, labels: Array, scope: str) -> Array:
    """:func:`gradient_gain`, compiled."""
    return gradient_gain(model, params, x, labels=labels, scope=scope)


chunk_gap = jax.jit(gap_gradient, static_argnames="model")
