"""Links: the probability of the positive label given the teacher margin.

Every link is written as a sum of Gaussian-smoothed steps in the teacher margin ``t``,

    P(y = 1 | t) = base + sum_j jump_j * Phi((t - location_j) / width_j),

with ``Phi`` the normal distribution function (a sharp step where ``width_j`` is 0). Gaussian
noise then only adds to the squared widths, so smoothing a link over unseen coordinates is exact.
For the logistic link the identity is Andrews and Mallows (1974): a logistic variable is normal
with standard deviation 2K, K following the Kolmogorov distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import expit
from jax.typing import ArrayLike
from scipy.special import ndtr as host_ndtr

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.numerics.quadrature import normal_cdf, normal_density
from nfl_pruning.registry import Registry
from nfl_pruning.validation import check_choice, check_number, format_number

SHARP = 1e-9  # width that stands for a sharp step where a slope is asked for
FEW_STEPS = 4  # so many are summed one by one, more in a loop


class Steps(NamedTuple):
    """A link as smoothed steps: the probability at minus infinity, then one entry a step."""

    base: float
    locations: tuple[float, ...]
    widths: tuple[float, ...]
    jumps: tuple[float, ...]


@dataclass(frozen=True)
class Link:
    """P(y = 1 | teacher margin); the margin is ``signal * <x, teacher direction>``.

    Attributes:
        name: public name.
        steps: the link as a sum of smoothed steps.
        scale_free: whether the size of the margin does not matter: the signal is then irrelevant.
        clean: the link whose labels a link with flips turns round with probability ``flip``.
        closed_form: the same function of the margin without the sum, where there is one; it keeps
            relative precision in its lower tail.
        one_rise: place and width of the one rise that all steps together make, or None.
    """

    name: str
    steps: Steps
    scale_free: bool = False
    clean: Link | None = None
    flip: float = 0.0
    closed_form: Callable[[Array], Array] | None = field(default=None, repr=False)
    one_rise: tuple[float, float] | None = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Links go to other processes by their text form: a function has no other."""
        if self.name in LINKS and LINKS[self.name] is self:
            return parse_link, (self.name,)
        return super().__reduce_ex__(protocol)

    def __call__(self, margin: ArrayLike) -> Array:
        """P(y = 1 | margin), elementwise and in the dtype of ``margin``."""
        margin = jnp.asarray(margin)
        if self.clean is not None:
            return self.flip + (1 - 2 * self.flip) * self.clean(margin)
        if self.closed_form is not None:  # the same function, without the sum over steps
            return self.closed_form(margin)
        return smoothed_steps(self.steps, margin, 0.0)[0].astype(margin.dtype)

    @property
    def rises(self) -> tuple[tuple[float, float], ...]:
        """Where the link rises and how broadly: (location, width) in the teacher margin.

        A link whose steps are many at one place, as the logistic one, has one rise.
        """
        if self.clean is not None:
            return self.clean.rises
        if self.one_rise is not None:
            return (self.one_rise,)
        return tuple(zip(self.steps.locations, self.steps.widths, strict=True))

    @cached_property
    def symmetric(self) -> bool:
        """Whether P(y = 1 | -t) = 1 - P(y = 1 | t), so that both labels are alike."""
        base, locations, widths, jumps = self.steps
        forward = sorted(zip(locations, widths, jumps, strict=True))
        mirrored = sorted((0.0 - t, w, j) for t, w, j in zip(locations, widths, jumps, strict=True))
        return np.allclose(forward, mirrored) and bool(np.isclose(2 * base + sum(jumps), 1.0))


def smoothed_steps(steps: Any, mean: Any, noise: Any) -> tuple[Any, Any]:
    """E[link(mean + noise * eta)], eta standard normal, and its derivative in the mean.

    The one place where a link is smoothed; ``limits`` has a table for many means at one noise.

    Args:
        steps: a link's :class:`Steps`, its entries numbers or arrays of shape (steps,).
        mean: of the teacher margin, any shape; numpy for numpy, else JAX.
        noise: its standard deviation, >= 0, broadcasts with ``mean``.

    Returns:
        Probability and slope, of the common shape; the slope at a sharp step without noise is that
        of a step of width 1e-9.
    """
    base, locations, widths, jumps = steps
    if isinstance(mean, np.ndarray):
        x, spread = _edges(steps, mean, noise)
        density = np.exp(-0.5 * x**2) / (np.sqrt(2 * np.pi) * np.maximum(spread, SHARP))
        return base + host_ndtr(x) @ np.asarray(jumps), density @ np.asarray(jumps)
    mean, noise = jnp.asarray(mean), jnp.asarray(noise)
    shape = jnp.broadcast_shapes(mean.shape, noise.shape)

    def add(total, step):
        location, width, jump = step
        spread, edge = jnp.sqrt(width**2 + noise**2 + SHARP**2), mean - location
        sharp = (width == 0) & (noise == 0)
        rise = jnp.where(sharp, (edge > 0).astype(mean.dtype), normal_cdf(edge / spread))
        slope = normal_density(edge / spread) / spread
        return (total[0] + jump * rise, total[1] + jump * slope), None

    total = jnp.full(shape, base, mean.dtype), jnp.zeros(shape, mean.dtype)
    rows = tuple(jnp.asarray(part, mean.dtype) for part in (locations, widths, jumps))
    if isinstance(locations, tuple) and len(locations) <= FEW_STEPS:
        for row in zip(*rows, strict=True):
            total, _ = add(total, row)
        return total
    return jax.lax.scan(add, total, rows)[0]


def smoothed_probability(steps: Steps, mean: np.ndarray, noise: Any) -> np.ndarray:
    """The first part of :func:`smoothed_steps` alone, for numpy arrays."""
    return steps.base + host_ndtr(_edges(steps, mean, noise)[0]) @ np.asarray(steps.jumps)


def _edges(steps: Steps, mean: np.ndarray, noise: Any) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the steps in units of their widths, and the widths, shape (..., steps)."""
    spread = np.hypot(np.asarray(steps.widths), np.asarray(noise)[..., None])
    edge = mean[..., None] - np.asarray(steps.locations)
    if (spread > 0).all():
        return edge / spread, spread
    with np.errstate(divide="ignore", invalid="ignore"):
        sharp = np.where(edge > 0, np.inf, -np.inf)
        return np.where(spread > 0, edge / spread, sharp), spread


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


def _logistic_form(margin: Array) -> Array:
    """The logistic function; in single precision by tanh, which is quicker and exact enough."""
    if margin.dtype == jnp.float64:
        return expit(margin)
    return 0.5 * (1.0 + jnp.tanh(0.5 * margin))


def _logistic() -> Link:
    k, weights = kolmogorov_nodes()
    steps = Steps(0.0, (0.0,) * len(k), tuple((2 * k).tolist()), tuple(weights.tolist()))
    return Link("logistic", steps, closed_form=_logistic_form, one_rise=(0.0, 1.0))


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
