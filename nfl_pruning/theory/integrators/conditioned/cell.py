"""A pruning problem as arrays: what the compiled solver reads.

Everything is folded by the label: u, z and v stand for y u, y z and y v, so that the label's
probability is a factor and the loss sees its argument. With a symmetric link and rule both labels
are alike and y = +1 stands for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from jax import Array

from nfl_pruning.links import Link
from nfl_pruning.losses import Loss


class Cell(NamedTuple):
    """One problem, float64; leading batch axes are added by ``vmap``.

    Attributes:
        delta: samples per feature, > 0. ridge: penalty, > 0.
        rho: the probe's cosine to the teacher; exactly +-1 when ``Kind.perfect``.
        scale: teacher margin per unit of z.
        edges: increasing places in u at which the selection jumps, shape (labels, edges).
        keep, omega: keep probability and weight of a kept sample between the edges, shape
            (labels, edges + 1).
    """

    delta: Array
    ridge: Array
    rho: Array
    scale: Array
    edges: Array
    keep: Array
    omega: Array


@dataclass(frozen=True)
class Kind:
    """What is compiled in.

    Attributes:
        link: the label law's link.
        loss: the student's; smooth (logistic or squared).
        perfect: whether the probe is the teacher's direction up to sign, so that u = +-z.
        labels: (1,) when folded, (1, -1) otherwise.
    """

    link: Link
    loss: Loss
    perfect: bool
    labels: tuple[int, ...]

    @property
    def steps(self) -> tuple[tuple[float, float, float], ...]:
        """(location, width, jump) of the link's steps in the teacher margin."""
        return tuple(zip(*self.link.steps[1:], strict=True))


def label_probability(kind: Kind, label: int, margin: Array) -> Array:
    """P(label | folded teacher margin), times two where the label stands for both."""
    fold = 2.0 if len(kind.labels) == 1 else 1.0
    positive = kind.link(label * margin)
    return fold * (positive if label > 0 else 1 - positive)
