"""A Gaussian mixture fitted to labelled features: clusters within classes, shrunk covariances.

Everything is done in coordinates in which the pooled covariance within clusters is the identity.
There a component's covariance is shrunk towards the pooled one (Ledoit-Wolf), and the means'
spread, which is too large by the noise of the means themselves, is brought back to what it is
without it. Rows whose labels are likely wrong are taken for the class that they look like: the
label's law is then a component's row of probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.realdata.fitted.clusters import cluster_codes, likely_classes
from nfl_pruning.realdata.fitted.shrinkage import (
    LEAST,
    means_without_noise,
    shrunk_eigenvalues,
    shrunk_towards_one,
)
from nfl_pruning.validation import check_integer

if TYPE_CHECKING:
    from nfl_pruning.inputs.mixture import Mixture

CANDIDATES = (1, 2, 3, 5, 8, 12)
ROWS_PER_COMPONENT = 30  # least rows that a component may have on average
FIT_ROWS = 20_000  # rows that a mixture is fitted to
WORTH = 0.02  # log-density a held-out row that a more complex description must gain
FULL = 256  # features up to which covariances are fitted in full


class Component(NamedTuple):
    """One component.

    Attributes:
        weight: share of all rows.
        mean: shape (d,).
        root: R with covariance R R^T, shape (d, d).
        labels: probabilities of the classes, shape (K,).
        rows: how many rows it was fitted to.
    """

    weight: float
    mean: np.ndarray
    root: np.ndarray
    labels: np.ndarray
    rows: int


@dataclass(frozen=True)
class FittedMixture:
    """Components with what was seen when they were fitted.

    Attributes:
        components: C of them.
        per_class: clusters that each class was given at most.
        held_out: mean log-density of held-out rows and labels, by what was tried.
        wrong_labels: share of rows whose label was taken for wrong.
        fitted_rows: rows used.
    """

    components: tuple[Component, ...]
    per_class: int
    held_out: dict[str, float]
    wrong_labels: float
    fitted_rows: int

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows (n, d) and their classes (n,), independent."""
        weights = np.array([c.weight for c in self.components])
        which = rng.choice(len(weights), size=n, p=weights / weights.sum())
        x = rng.standard_normal((n, len(self.components[0].mean)))
        for i, component in enumerate(self.components):
            rows = np.flatnonzero(which == i)
            x[rows] = x[rows] @ component.root.T + component.mean
        edges = np.cumsum(np.stack([c.labels for c in self.components]), axis=1)
        lots = rng.random(n)
        y = (lots[:, None] > edges[which][:, :-1]).sum(axis=1)
        return x, y

    def mixture(self) -> Mixture:
        """The same as inputs of a problem."""
        from nfl_pruning.inputs.mixture import Mixture

        listed = self.components
        return Mixture(
            np.array([c.weight for c in listed]),
            np.stack([c.mean for c in listed]),
            np.stack([c.root @ c.root.T for c in listed]),
            np.stack([c.labels for c in listed]),
            title="data",
        )


def fit_mixture(
    x: Any, y: Any, *, components: int | None = None, seed: int = 0, directions: int = 128
) -> Mixture:
    """The mixture of Gaussian components that describes labelled data.

    Args:
        x: features, shape (n, d), in the units that the student will see. Up to ``FULL`` of them
            have full covariances; more have full ones along ``directions`` principal directions
            and one variance a feature beside them.
        y: labels, shape (n,): whole numbers or text, coded in their order.
        components: of each class; chosen on held-out rows if None.
        seed: of the clusters' starts and of the held-out rows.
        directions: principal directions where there are more than ``FULL`` features.
    """
    from nfl_pruning.data.dataset import make_dataset
    from nfl_pruning.inputs.covariances import LowRank
    from nfl_pruning.inputs.mixture import Mixture
    from nfl_pruning.realdata.fitted.space import fit_space

    data, rng = make_dataset("data", x, y), np.random.default_rng(seed)
    n_classes = len(data.classes)
    if data.x.shape[1] <= FULL:
        own = data.x.astype(np.float64)
        return fit_components(own, data.y, n_classes, rng=rng, components=components).mixture()
    space = fit_space(data.x, scale="none", most=directions, rng=rng)
    inner = space(data.x)
    found = fit_components(inner, data.y, n_classes, rng=rng, components=components).components
    left = data.x - space.centre - inner @ space.axes.T
    rest = np.maximum((left**2).mean(axis=0), 1e-12)
    return Mixture(
        np.array([c.weight for c in found]),
        np.stack([space.centre + space.axes @ c.mean for c in found]),
        LowRank(np.tile(rest, (len(found), 1)), np.stack([space.axes @ c.root for c in found])),
        np.stack([c.labels for c in found]),
        title="data",
    )


def fit_components(
    x: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    *,
    rng: np.random.Generator,
    components: int | None = None,
    wrong_labels: bool = True,
    candidates: tuple[int, ...] = CANDIDATES,
) -> FittedMixture:
    """Fit a mixture to rows (n, d) with class codes (n,).

    Args:
        x: features, along principal axes of falling variance or nearly so; ``FIT_ROWS`` random
            rows of them at most are used.
        y: class codes 0 .. K - 1; each must occur twice.
        n_classes: K.
        rng: chooses rows, held-out rows and the clusters' starts.
        components: of each class; chosen on held-out rows if None.
        wrong_labels: False where no row may be taken for wrongly labelled.
        candidates: numbers of components to choose among.
    """
    if len(x) > FIT_ROWS:
        rows = np.sort(rng.permutation(len(x))[:FIT_ROWS])
        x, y = x[rows], y[rows]
    counts = np.bincount(y, minlength=n_classes)
    if counts.min() < 2:
        raise InvalidArgumentError(
            f"a mixture needs 2 rows of every class at least; class {counts.argmin()} has "
            f"{counts.min()}."
        )
    seed = int(rng.integers(2**31))
    groups = y if not wrong_labels else likely_classes(x, y, n_classes, seed)[0]
    held: dict[str, float] = {}
    if components is None:
        choice = _Choice(x, groups, y, n_classes, rng, seed)
        components, held = choice.components(candidates), choice.held
    check_integer("components", components, 1)
    found = _fit(x, groups, y, n_classes, components, seed)
    return FittedMixture(found, components, held, float((groups != y).mean()), len(x))


class _Choice:
    """What held-out rows prefer: fits to 3/4 of the rows, density of the rest."""

    def __init__(
        self,
        x: np.ndarray,
        groups: np.ndarray,
        y: np.ndarray,
        n_classes: int,
        rng: np.random.Generator,
        seed: int,
    ):
        order = rng.permutation(len(y))
        cut = (3 * len(y)) // 4
        own, rest = np.sort(order[:cut]), order[cut:][:4000]
        self.own, self.rest = (x[own], groups[own], y[own]), (x[rest], y[rest])
        self.n_classes, self.seed, self.held = n_classes, seed, dict[str, float]()

    def density(self, number: int) -> float:
        """Mean log-density of held-out rows and labels, bounded below so that few do not rule."""
        found = _fit(*self.own, self.n_classes, number, self.seed)
        x, y = self.rest
        own = np.log(np.stack([np.maximum(c.labels[y], 1e-6) for c in found], axis=1))
        value = logsumexp(log_densities(found, x) + own, axis=1)
        return float(np.maximum(value, np.quantile(value, 0.02)).mean())

    def components(self, candidates: tuple[int, ...]) -> int:
        """The number that is worth it."""
        usual = np.median(np.bincount(self.own[1], minlength=self.n_classes))
        best, values = 1, {}
        for number in candidates:
            if number > 1 and usual < ROWS_PER_COMPONENT * number:
                break
            values[number] = self.held[str(number)] = self.density(number)
            if values[number] > values[best] + WORTH:
                best = number
            elif number >= 3 * best:
                break
        return best


def log_densities(components: tuple[Component, ...], x: np.ndarray) -> np.ndarray:
    """Log (weight times density) of rows (n, d) under each component, shape (n, C)."""
    return np.stack([np.log(c.weight) + log_density(c, x)[0] for c in components], axis=1)


def log_density(component: Component, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-density and squared Mahalanobis distance of rows (n, d), shape (n,) each."""
    solved = np.linalg.solve(component.root, (x - component.mean).T)
    distance = (solved**2).sum(axis=0)
    volume = np.linalg.slogdet(component.root)[1]
    return -0.5 * distance - volume - 0.5 * x.shape[1] * np.log(2 * np.pi), distance


def _fit(
    x: np.ndarray, groups: np.ndarray, y: np.ndarray, n_classes: int, per_class: int, seed: int
) -> tuple[Component, ...]:
    """Clusters within groups, in whitened coordinates, taken back to the features' own."""
    cluster = cluster_codes(x, groups, per_class, seed)
    sizes = np.bincount(cluster)
    means = np.stack([x[cluster == c].mean(axis=0) for c in range(len(sizes))])
    free = max(len(x) - len(sizes), 1)
    around = x - means[cluster]
    values, axes = np.linalg.eigh(around.T @ around / free)
    values = np.maximum(values, LEAST * max(float(values.mean()), 1e-300))
    true = shrunk_eigenvalues(values, free)
    # A component's shape is seen against the sample's own pooled covariance, then given the true
    # one: what the pooled eigenvalues lose to noise is lost once.
    forth, back = axes / np.sqrt(values), (axes * np.sqrt(true)).T
    centre = x.mean(axis=0)
    spread = means_without_noise((means - centre) @ (axes / np.sqrt(true)), sizes)
    laws = _label_laws(groups, y, n_classes)
    found = []
    for c, size in enumerate(sizes):
        root = back.T @ np.linalg.cholesky(shrunk_towards_one(around[cluster == c] @ forth))
        law = laws[groups[cluster == c][0]]
        found.append(Component(size / len(y), centre + spread[c] @ back, root, law, int(size)))
    return tuple(found)


def _label_laws(groups: np.ndarray, y: np.ndarray, n_classes: int) -> np.ndarray:
    """P(label | group), shape (K, K), from the rows of each group."""
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (groups, y), 1.0)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)


def widened(mixture: FittedMixture, factor: float) -> FittedMixture:
    """The mixture with every component's standard deviations times ``factor``."""
    wider = tuple(c._replace(root=c.root * factor) for c in mixture.components)
    return replace(mixture, components=wider)
