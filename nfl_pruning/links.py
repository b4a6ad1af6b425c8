"""Links: the probability of the positive label given the teacher margin.

Every link is written as a sum of Gaussian-smoothed steps in the teacher margin ``t``,

    P(y = 1 | t) = base + sum_j jump_j * Phi((t - location_j) / width_j),

with ``Phi`` the normal distribution function (a sharp step where ``width_j`` is 0). Gaussian
noise then only adds to the squared widths, so smoothing a link over unseen coordinates is exact.
For the logistic link the identity is Andrews and Mallows (1974): a logistic variable is normal
with standard deviation 2K, K following the Kolmogorov distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr
from jax.typing import ArrayLike

from nfl_pruning.registry import Registry
from nfl_pruning.validation import (
    InvalidArgumentError,
    check_choice,
    check_number,
    format_number,
)


class Steps(NamedTuple):
    """A link as smoothed steps: the probability at minus infinity, then one entry a step."""

    base: float
    locations: tuple[float, ...]
    widths: tuple[float, ...]
    jumps: tuple[float, ...]


@dataclass(frozen=True)
class Link:
    """P(y = 1 | teacher margin); the margin is ``signal * <x, teacher direction>``.

    ``scale_free`` links do not look at the size of the margin: the signal is then irrelevant.
    ``clean`` is the link whose labels a link with flips turns round with probability ``flip``.
    """

    name: str
    steps: Steps
    scale_free: bool = False
    clean: Link | None = None
    flip: float = 0.0

    def __call__(self, margin: ArrayLike) -> Array:
        """P(y = 1 | margin), elementwise and in the dtype of ``margin``."""
        margin = jnp.asarray(margin)
        if self.clean is not None:
            return self.flip + (1 - 2 * self.flip) * self.clean(margin)
        if self.name == "logistic":  # the same function, without the sum over steps
            return 0.5 * (1.0 + jnp.tanh(0.5 * margin))
        total = jnp.full(margin.shape, self.steps.base, margin.dtype)
        for location, width, jump in zip(*self.steps[1:], strict=True):
            edge = margin - location
            rise = ndtr(edge / width) if width > 0 else (edge > 0).astype(margin.dtype)
            total = total + jump * rise
        return total

    @property
    def rises(self) -> tuple[tuple[float, float], ...]:
        """Where the link rises and how broadly: (location, width) in the teacher margin.

        The logistic link has one rise, although it is a sum of many steps at one place.
        """
        if self.clean is not None:
            return self.clean.rises
        if self.name == "logistic":
            return ((0.0, 1.0),)
        return tuple(zip(self.steps.locations, self.steps.widths, strict=True))

    @cached_property
    def symmetric(self) -> bool:
        """Whether P(y = 1 | -t) = 1 - P(y = 1 | t), so that both labels are alike."""
        base, locations, widths, jumps = self.steps
        forward = sorted(zip(locations, widths, jumps, strict=True))
        mirrored = sorted((0.0 - t, w, j) for t, w, j in zip(locations, widths, jumps, strict=True))
        return np.allclose(forward, mirrored) and bool(np.isclose(2 * base + sum(jumps), 1.0))


def kolmogorov_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for the mean of a function of a Kolmogorov variable K.

    The trapezoidal rule in log K; the density falls super-exponentially at both ends, so 24 nodes
    leave an error of 5e-13 for the logistic function.
    """
    log_k = np.linspace(np.log(0.16), np.log(4.6), 24)
    k = np.exp(log_k)
    n = np.arange(1, 40)[:, None]
    large = 8 * k * np.sum((-1.0) ** (n + 1) * n**2 * np.exp(-2 * n**2 * k**2), 0)
    rate = (2 * n - 1) ** 2 * np.pi**2 / 8
    small = np.sqrt(2 * np.pi) * np.sum(
        np.exp(-rate / k**2) * (2 * rate / k**4 - 1 / k**2), 0
    )  # the other of the two theta series, which converges for small K
    weights = np.where(k > 0.8, large, small) * k
    return k, weights / weights.sum()


def _logistic() -> Link:
    k, weights = kolmogorov_nodes()
    steps = Steps(0.0, (0.0,) * len(k), tuple((2 * k).tolist()), tuple(weights.tolist()))
    return Link("logistic", steps)


def piecewise_constant(breaks: list[float], values: list[float]) -> Link:
    """P(y = 1 | t) = values[j] between breaks[j - 1] and breaks[j] of the teacher margin.

    Args:
        breaks: increasing, finite.
        values: one more than breaks, each in [0, 1].
    """
    cuts, levels = np.asarray(breaks, float), np.asarray(values, float)
    if cuts.ndim != 1 or not np.isfinite(cuts).all() or (np.diff(cuts) <= 0).any():
        raise InvalidArgumentError(f"link breaks must be finite and increasing; got {breaks}.")
    if levels.shape != (len(cuts) + 1,):
        raise InvalidArgumentError(
            f"a piecewise-constant link with {len(cuts)} breaks takes {len(cuts) + 1} values; "
            f"got {len(np.atleast_1d(levels))}."
        )
    if not ((levels >= 0) & (levels <= 1)).all():  # also refuses NaN
        raise InvalidArgumentError(f"link values must be probabilities in [0, 1]; got {values}.")
    name = ":".join(["steps", *(",".join(map(format_number, part)) for part in (cuts, levels))])
    jumps = tuple(np.diff(levels).tolist())
    return Link(name, Steps(float(levels[0]), tuple(cuts.tolist()), (0.0,) * len(cuts), jumps))


LINKS: Registry[Link] = Registry("link")
LINKS.add("logistic", _logistic())
LINKS.add("probit", Link("probit", Steps(0.0, (0.0,), (1.0,), (1.0,))))
LINKS.add("sign", Link("sign", Steps(0.0, (0.0,), (0.0,), (1.0,)), scale_free=True))


def flipped(clean: Link, probability: float | str) -> Link:
    """A link whose labels are turned round with a given probability, whatever the input.

    The steps stay where they are: P -> probability + (1 - 2 probability) P scales base and jumps.

    Args:
        clean: the link before the flips.
        probability: in [0, 0.5], or its text; at 0.5 labels say nothing.
    """
    p = check_number("flip probability", probability, "[0, 0.5]")
    base, locations, widths, jumps = clean.steps
    steps = Steps(p + (1 - 2 * p) * base, locations, widths, tuple((1 - 2 * p) * j for j in jumps))
    name = f"flip:{format_number(p)}:{clean.name}"
    return Link(name, steps, clean.scale_free, clean, p)


FORMS = ("steps:BREAKS:VALUES", "flip:PROBABILITY[:LINK]")


def parse_link(text: str | Link) -> Link:
    """A link from its name or text form.

    ``steps:BREAKS:VALUES`` takes comma-separated numbers; ``flip:PROBABILITY:LINK`` turns labels of
    any link round with that probability, those of ``sign`` when no link is named.
    """
    if isinstance(text, Link):
        return text
    kind, _, rest = str(text).partition(":")
    if kind == "flip":
        probability, _, clean = rest.partition(":")
        return flipped(parse_link(clean or "sign"), probability)
    if kind != "steps":
        return LINKS[check_choice("link", text, [*LINKS, *FORMS])]
    try:
        breaks, values = rest.split(":")
        return piecewise_constant(
            [float(b) for b in breaks.split(",")], [float(v) for v in values.split(",")]
        )
    except InvalidArgumentError:
        raise
    except ValueError:
        raise InvalidArgumentError(
            "link must have the form steps:BREAKS:VALUES with comma-separated numbers; "
            f"got {text!r}."
        ) from None
