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
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr
from jax.typing import ArrayLike

from nfl_pruning.registry import Registry
from nfl_pruning.validation import InvalidArgumentError, check_choice, format_number


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
    """

    name: str
    steps: Steps
    scale_free: bool = False

    def __call__(self, margin: ArrayLike) -> Array:
        """P(y = 1 | margin), elementwise and in the dtype of ``margin``."""
        margin = jnp.asarray(margin)
        if self.name == "logistic":  # the same function, without the sum over steps
            return 0.5 * (1.0 + jnp.tanh(0.5 * margin))
        total = jnp.full(margin.shape, self.steps.base, margin.dtype)
        for location, width, jump in zip(*self.steps[1:], strict=True):
            edge = margin - location
            rise = ndtr(edge / width) if width > 0 else (edge > 0).astype(margin.dtype)
            total = total + jump * rise
        return total

    @property
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


def parse_link(text: str | Link) -> Link:
    """A link from its name, or from ``steps:BREAKS:VALUES`` with comma-separated numbers."""
    if isinstance(text, Link):
        return text
    if not text.startswith("steps:"):
        return LINKS[check_choice("link", text, [*LINKS, "steps:BREAKS:VALUES"])]
    parts = text.split(":")
    try:
        _, breaks, values = parts
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
