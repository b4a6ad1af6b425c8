"""What a score is: one function of (logits, labels, context), used by theory, simulation and data.

Ranks must survive floating point: EL2N of a confidently wrong sample is 1 to machine precision,
and so would tie with every other such sample. Bounded scores are therefore computed on a scale
that keeps resolution at both ends (their logarithm, say), and ``publish`` maps to the usual units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.registry import Registry
from nfl_pruning.scores.checks import (
    check_context,
    check_labels,
    check_logits,
    check_precision,
    check_result,
)
from nfl_pruning.settings import with_own_settings

NEEDS = (
    "input_norm",
    "features",
    "gradient_norm",
    "trajectory",
    "gap_gradient",
    "prototypes",
    "inputs",
    "component",
    "label_is_right",
)


@dataclass(frozen=True)
class Context:
    """What a score may use beyond logits and labels; entries that do not exist are None.

    Attributes:
        input_norm: gain from the error ``softmax - onehot`` to the gradient, shape (...,). For a
            linear probe ``||x|| / sqrt(d)``, which tends to a constant as d grows: the
            proportional limit has it at 1. For a network, the norm of the per-sample loss gradient
            per unit of EL2N.
        features: penultimate features, shape (..., width).
        gradient_norm: norm of the per-sample loss gradient, shape (...,).
        trajectory: logits over training, shape (..., time, classes).
        gap_gradient: norm of the input gradient of (largest logit - logit k) for each k, shape
            (..., classes).
        prototypes: cluster centres in feature space, shape (centres, width).
        inputs: the inputs themselves, shape (..., d).
        component: number of the mixture's component that a sample came from, shape (...,): what
            only an oracle knows.
        label_is_right: whether the label is its component's likeliest class, shape (...,); of an
            oracle too.
    """

    input_norm: ArrayLike | None = None
    features: ArrayLike | None = None
    gradient_norm: ArrayLike | None = None
    trajectory: ArrayLike | None = None
    gap_gradient: ArrayLike | None = None
    prototypes: ArrayLike | None = None
    inputs: ArrayLike | None = None
    component: ArrayLike | None = None
    label_is_right: ArrayLike | None = None


@dataclass(frozen=True)
class Score:
    """A difficulty score.

    Attributes:
        name: public name.
        difficulty: (logits, labels, context) -> real numbers of shape (...,), larger = harder.
            ``logits`` has shape (..., classes), ``labels`` integers of shape (...,).
        label_aware: whether the labels matter.
        needs: context entries that must be present.
        publish: increasing map from ``difficulty`` to the units of the literature.
        summary: the formula in words, for listings.
    """

    name: str
    difficulty: Callable[[Array, Array, Context], Array] = field(repr=False)
    label_aware: bool
    needs: frozenset[str] = frozenset()
    publish: Callable[[Array], Array] = field(default=lambda value: value, repr=False)
    summary: str = ""

    @with_own_settings
    def rank_key(
        self, logits: ArrayLike, labels: ArrayLike, context: Context | None = None
    ) -> Array:
        """The number that samples are ranked by, shape (...,); larger = harder.

        Raises:
            InvalidArgumentError: the context lacks something that the score needs, or shapes,
                types or (where they are known) values do not fit each other.
        """
        context = context or Context()
        missing = [need for need in sorted(self.needs) if getattr(context, need) is None]
        if missing:
            raise InvalidArgumentError(
                f"score {self.name!r} needs {' and '.join(missing)}, which is not available here."
            )
        logits, labels = self.check(logits, labels, context)
        values = jnp.asarray(logits)
        values = values if jnp.issubdtype(values.dtype, jnp.floating) else values.astype(float)
        check_precision(logits, values)
        found = self.difficulty(values, jnp.asarray(labels), context)
        check_result(self.name, found, values.shape[:-1])
        return jnp.broadcast_to(found, values.shape[:-1])

    def check(self, logits: Any, labels: Any, context: Context) -> tuple[Any, Any]:
        """Logits and labels as arrays, once they and the context fit each other."""
        logits = check_logits(logits)
        if labels is None and not self.label_aware:
            labels = np.zeros(logits.shape[:-1], int)
        labels = check_labels(labels, logits)
        check_context(context, self.needs, logits)
        return logits, labels

    @with_own_settings
    def __call__(
        self, logits: ArrayLike, labels: ArrayLike, context: Context | None = None
    ) -> Array:
        """The score in the units of the literature, shape (...,); larger = harder."""
        return self.publish(self.rank_key(logits, labels, context))

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Registered scores go to other processes by name: a decorated function has no other."""
        if self.name in SCORES and SCORES[self.name] is self:
            return _registered, (self.name,)
        return super().__reduce_ex__(protocol)


def _registered(name: str) -> Score:
    return SCORES[name]


SCORES: Registry[Score] = Registry("score")


def register_score(
    name: str,
    *,
    label_aware: bool,
    needs: tuple[str, ...] = (),
    publish: Callable[[Array], Array] = lambda value: value,
    summary: str = "",
    replace: bool = False,
) -> Callable[[Callable[[Array, Array, Context], Array]], Score]:
    """Register the decorated function of (logits, labels, context) as a score.

    Args:
        name: public name, as in ``--score NAME``.
        label_aware: whether the score looks at the labels.
        needs: context entries that it reads, among ``NEEDS``.
        publish: increasing map to the units of the literature; identity by default.
        summary: one line for listings.
        replace: replace a score of the same name instead of refusing.

    Returns:
        A decorator that returns the registered :class:`Score`.

    Example:
        >>> @register_score("wrongness", label_aware=True)
        ... def wrongness(logits, labels, context):
        ...     return logits.max(-1) - jnp.take_along_axis(logits, labels[..., None], -1)[..., 0]
    """
    unknown = sorted(set(needs) - set(NEEDS))
    if unknown:
        raise InvalidArgumentError(f"needs must be among {', '.join(NEEDS)}; got {unknown[0]!r}.")

    def wrap(function: Callable[[Array, Array, Context], Array]) -> Score:
        text = summary or (function.__doc__ or "").strip().split("\n")[0]
        score = Score(name, function, label_aware, frozenset(needs), publish, text)
        return SCORES.add(name, score, replace=replace)

    return wrap


def binary_logits(margin: ArrayLike) -> Array:
    """Two-class logits (0, margin) of shape (..., 2): the second class is the label +1."""
    margin = jnp.asarray(margin)
    return jnp.stack([jnp.zeros_like(margin), margin], axis=-1)
