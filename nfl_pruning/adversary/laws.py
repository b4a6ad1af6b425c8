"""A low-dimensional family of data laws for an adversary to search.

Inputs in the plane come from two Gaussian clusters; the label's probability is a step function of
the first coordinate. So the family holds label noise and step links (the four probabilities and the
place of the steps), mixture geometry (separation, angle and widths) and balance (the weight of the
first cluster). The model is logistic regression with an intercept, which is misspecified for
almost every member.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.special import ndtr

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.numerics.quadrature import gauss_legendre

REACH = 9.0  # everything beyond has mass below 1e-8 for every member
LABELS = np.array([1.0, -1.0])


@dataclass(frozen=True)
class Law:
    """A member of the family.

    Attributes:
        balance: weight of the first cluster.
        separation: distance of each cluster from the origin.
        angle: how far the second cluster is turned from the point opposite to the first, radians.
        width: standard deviation of the first cluster, along both axes.
        width_1, width_2: standard deviations of the second cluster.
        step: the label's probability steps at -step, 0 and step of the first coordinate.
        far_left, left, right, far_right: P(y = 1 | x) between the steps.
    """

    balance: float = 0.5
    separation: float = 1.0
    angle: float = 0.0
    width: float = 1.0
    width_1: float = 1.0
    width_2: float = 1.0
    step: float = 1.0
    far_left: float = 0.1
    left: float = 0.1
    right: float = 0.9
    far_right: float = 0.9

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = float(getattr(self, name))
            if not low - 1e-6 <= value <= high + 1e-6:
                raise InvalidArgumentError(
                    f"law's {name} must lie in [{low}, {high}]; got {value}."
                )
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def steps(self) -> np.ndarray:
        """Places where the label's probability jumps."""
        return np.array([-self.step, 0.0, self.step])

    @property
    def values(self) -> np.ndarray:
        """P(y = 1) between the steps."""
        return np.array([self.far_left, self.left, self.right, self.far_right])

    @property
    def clusters(self) -> tuple[tuple[float, np.ndarray, np.ndarray], ...]:
        """(weight, centre, standard deviations) of each cluster."""
        opposite = -self.separation * np.array([np.cos(self.angle), np.sin(self.angle)])
        return (
            (self.balance, np.array([self.separation, 0.0]), np.array([self.width] * 2)),
            (1 - self.balance, opposite, np.array([self.width_1, self.width_2])),
        )

    def probability(self, x: np.ndarray) -> np.ndarray:
        """P(y = 1 | x), x of shape (..., 2)."""
        return self.values[np.searchsorted(self.steps, x[..., 0])]

    def density(self, x: np.ndarray) -> np.ndarray:
        """Density of x, shape (..., 2)."""
        total = np.zeros(x.shape[:-1])
        for weight, centre, width in self.clusters:
            z = (x - centre) / width
            total += weight * np.exp(-0.5 * (z**2).sum(-1)) / (2 * np.pi * width.prod())
        return total

    def sample(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """N inputs of shape (n, 2) and labels -1 or 1."""
        first = rng.random(n) < self.balance
        x = np.empty((n, 2))
        for here, (_, centre, width) in zip((first, ~first), self.clusters, strict=True):
            x[here] = centre + width * rng.standard_normal((int(here.sum()), 2))
        y = np.where(rng.random(n) < self.probability(x), 1.0, -1.0)
        return x, y

    def zero_one_error(self, theta: np.ndarray) -> float:
        """P(sign of theta . (x, 1) differs from y), theta of shape (3,).

        Given the second coordinate the first is normal within a cluster, so each slice is a sum of
        normal probabilities; the trapezoidal rule runs over slices.
        """
        x2 = np.linspace(-REACH, REACH, 1441)
        ends = np.concatenate([[-np.inf], self.steps, [np.inf]])
        total = 0.0
        for weight, centre, width in self.clusters:
            slice_mass = np.exp(-0.5 * ((x2 - centre[1]) / width[1]) ** 2)
            slice_mass *= weight * (x2[1] - x2[0]) / np.sqrt(2 * np.pi) / width[1]
            rest = theta[1] * x2 + theta[2]
            cut = -rest / theta[0] if theta[0] != 0 else np.where(rest > 0, -np.inf, np.inf)
            low = np.clip(cut[:, None], ends[:-1], ends[1:])
            share_below = ndtr((low - centre[0]) / width[0]) - ndtr(
                (ends[:-1] - centre[0]) / width[0]
            )
            share = np.diff(ndtr((ends - centre[0]) / width[0]))
            positive_above = theta[0] >= 0
            up = share - share_below if positive_above else share_below  # classified as 1
            wrong = up * (1 - self.values) + (share - up) * self.values
            total += float(slice_mass @ wrong.sum(1))
        return total


RANGES = {
    "balance": (0.1, 0.9),
    "separation": (0.0, 3.0),
    "angle": (-1.5, 1.5),
    "width": (0.4, 1.2),
    "width_1": (0.4, 1.2),
    "width_2": (0.4, 1.2),
    "step": (0.3, 2.5),
    "far_left": (0.02, 0.98),
    "left": (0.02, 0.98),
    "right": (0.02, 0.98),
    "far_right": (0.02, 0.98),
}


def slices(law: Law, n_slices: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Second coordinates, their trapezoidal weights, and panel edges in the first coordinate."""
    x2 = np.linspace(-REACH, REACH, n_slices)
    weight = np.full(n_slices, x2[1] - x2[0])
    edges = np.unique(np.concatenate([np.linspace(-REACH, REACH, 37), law.steps]))
    return x2, weight, edges


def panel_nodes(edges: np.ndarray, n_nodes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights between edges, row by row, shape (slices, nodes)."""
    x, w = gauss_legendre(n_nodes)
    half, middle = (
        0.5 * np.diff(edges)[..., None],
        0.5 * (edges[..., 1:] + edges[..., :-1])[..., None],
    )
    shape = (*edges.shape[:-1], -1)
    return (middle + half * x).reshape(shape), (half * w).reshape(shape)


# Members that most scores fail on; the search starts from them, and a statement certifies them.
EXPLICIT = {
    "noisy-steps": Law(separation=0.8, left=0.2, right=0.8, far_left=0.2, far_right=0.8),
    "outer-flip": Law(separation=1.2, step=1.5, far_left=0.4, left=0.1, right=0.9, far_right=0.6),
    "two-regimes": Law(
        balance=0.7, separation=1.6, angle=1.2, width=0.6, width_1=1.2, width_2=0.6,
        step=1.5, far_left=0.3, left=0.05, right=0.6, far_right=0.97,
    ),
}  # fmt: skip
