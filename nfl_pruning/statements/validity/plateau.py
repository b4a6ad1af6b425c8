"""Learning curves: a plateau where pruning is not valid, a power law where it is."""

from __future__ import annotations

import jax
import numpy as np
from jax import Array

from nfl_pruning.adversary.certify import certify
from nfl_pruning.adversary.laws import EXPLICIT
from nfl_pruning.adversary.population import Nodes, law_nodes, minimiser
from nfl_pruning.adversary.ranking import Rank, ranker
from nfl_pruning.scores import SCORES
from nfl_pruning.selections import RankSelection, make_selection
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring import fitting, sampling
from nfl_pruning.statements.measuring.summary import mean_and_error, seedless

LAW = "outer-flip"
CASES = {"el2n": 0.9, "entropy": 0.9}  # score: keep fraction, keep hardest
SIZES = {
    "quick": ((200, 400), (800, 240), (3200, 200), (12800, 200)),
    "paper": ((500, 4000), (2000, 2000), (8000, 1000), (32000, 500)),
}
PROTOCOLS = {"threshold": "aware-hardest", "random": "random", "exact": "exact"}
EXPLOIT = 0.5
PART = 200  # data sets at a time
SLICES = 49  # of the quadrature of losses, whose integrands are smooth


@seedless
def prepared(name: str, fraction: float) -> tuple[float, Rank, Nodes, np.ndarray]:
    """The certified gap, the priority, nodes for losses and the best parameter."""
    law, score = EXPLICIT[LAW], SCORES[name]
    best, _ = minimiser(law_nodes(law, 193))
    rank = ranker(score, law, best, "hardest")
    return certify(law, score, fraction).gap, rank, law_nodes(law, SLICES), best


def excess(name: str, fraction: float, key: Array, sizes: tuple[int, int]) -> list[np.ndarray]:
    """Excess losses of each protocol on the same data sets, sizes = (n, repeats)."""
    n, repeats = sizes
    parts = [
        _excess(name, fraction, jax.random.fold_in(key, start), (n, min(PART, repeats - start)))
        for start in range(0, repeats, PART)
    ]
    return [np.concatenate(values) for values in zip(*parts, strict=True)]


def _excess(name: str, fraction: float, key: Array, sizes: tuple[int, int]) -> list[np.ndarray]:
    _, rank, nodes, best = prepared(name, fraction)
    n, repeats = sizes
    key_data, key_select = jax.random.split(key)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key_data)).tolist())
    drawn = [EXPLICIT[LAW].sample(rng, n) for _ in range(repeats)]
    x, y = (np.stack(parts) for parts in zip(*drawn, strict=True))
    priority, keys = rank(x, y), jax.random.split(key_select, repeats)
    design = np.concatenate([x, np.ones((*y.shape, 1))], axis=2)
    found, least = [], _loss(best[None], nodes)
    for protocol in PROTOCOLS:
        selection = make_selection(protocol, exploit=EXPLOIT)
        assert isinstance(selection, RankSelection)
        weights = sampling.choose(selection, fraction, "hardest", keys, priority)
        found.append(_loss(fitting.fit(design, y, weights, best), nodes) - least)
    return found


def _loss(theta: np.ndarray, nodes: Nodes) -> np.ndarray:
    """Population logistic loss of parameters (repeats, 3), shape (repeats,)."""
    margin = theta @ nodes.design.T
    # y = 1: log(1 + e^-m); y = -1 adds m
    return np.logaddexp(0, -margin) @ nodes.mass.sum(0) + margin @ nodes.mass[1]


def fit_curves(n: np.ndarray, mean: np.ndarray, error: np.ndarray) -> dict[str, float]:
    """Weighted fits of a + b / n + c / n^2 and of b n^-c, and how much better the first one is.

    ``evidence`` is the chi-square of the power law less that of the plateau, less 2 for its third
    parameter (Akaike). The exponent is that of the power law without the smallest size, which
    terms of the next order would bend.
    """
    design = np.stack([np.ones_like(n), 1 / n, 1 / n**2], 1) / error[:, None]
    covariance = np.linalg.inv(design.T @ design)
    a, b, c = covariance @ design.T @ (mean / error)
    chi_plateau = np.sum(((mean - a - b / n - c / n**2) / error) ** 2)
    (intercept, slope), _ = _line(n, mean, error)
    chi_power = np.sum(((mean - np.exp(intercept) * n**slope) / error) ** 2)
    (_, exponent), spread = _line(n[1:], mean[1:], error[1:])
    return {
        "plateau": float(a), "plateau_error": float(np.sqrt(covariance[0, 0])),
        "coefficient": float(b), "curvature": float(c), "exponent": float(exponent),
        "exponent_error": float(np.sqrt(spread[1, 1])),
        "evidence": float(chi_power - chi_plateau - 2),
    }  # fmt: skip


def _line(n: np.ndarray, mean: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intercept and slope of log mean in log n, weighted by relative errors, and covariance."""
    relative = error / mean
    lines = np.stack([np.ones_like(n), np.log(n)], 1) / relative[:, None]
    covariance = np.linalg.inv(lines.T @ lines)
    return covariance @ lines.T @ (np.log(mean) / relative), covariance


def measure(preset: str, seed: int) -> Measured:
    """Learning curves of the threshold rule, random and exact calibration."""
    quantities, plots = [], []
    n = np.array([float(size) for size, _ in SIZES[preset]])
    dof = min(repeats for _, repeats in SIZES[preset]) - 1
    for number, (name, fraction) in enumerate(CASES.items()):
        gap = prepared(name, fraction)[0]
        root = jax.random.fold_in(jax.random.key(seed), 600 + 10 * number)
        rows = [excess(name, fraction, jax.random.fold_in(root, sizes[0]), sizes)
                for sizes in SIZES[preset]]  # fmt: skip
        curves = {
            protocol: [mean_and_error(values) for values in columns]
            for protocol, columns in zip(PROTOCOLS, zip(*rows, strict=True), strict=True)
        }
        series = []
        for protocol, look in PROTOCOLS.items():
            mean, error = np.array(curves[protocol]).T
            found = fit_curves(n, mean, error)
            text = f"{protocol}, {name}, r = {fraction:g}"
            quantities += _judge(text, protocol, found, (gap, dof))
            smooth = np.geomspace(n[0], 4 * n[-1], 30)
            floor = found["plateau"] if protocol == "threshold" else max(found["plateau"], 0.0)
            label = {"threshold": f"keep hardest by {name}"}.get(protocol, protocol)
            line = floor + found["coefficient"] / smooth + found["curvature"] / smooth**2
            series += [
                Series(label, smooth.tolist(), line.tolist(), look=look),
                Series("", n.tolist(), mean.tolist(), error.tolist(), look, points=True),
            ]
        plots.append(Plot(f"Learning curves, {name}, r = {fraction:g}", "samples before pruning",
                          "excess loss", series, x_log=True, y_log=True))  # fmt: skip
    return Measured(quantities, plots)


def _judge(
    text: str, protocol: str, found: dict[str, float], scale: tuple[float, int]
) -> list[Quantity]:
    gap, dof = scale
    if protocol == "threshold":
        floor = Quantity(f"plateau of {text}", gap, found["plateau"], found["plateau_error"],
                         0.3 * gap, dof)  # fmt: skip
        text = f"chi-square of the power law less that of the plateau, {text}"
        return [floor, Quantity(text, 10.0, found["evidence"], 1e-6, 1.0, None, "above")]
    return [
        Quantity(f"exponent of {text}", -1.0, found["exponent"], found["exponent_error"], 0.4, dof),
        Quantity(f"plateau of {text}", 0.0, found["plateau"], found["plateau_error"], 0.1 * gap,
                 dof),
    ]  # fmt: skip


STATEMENT = Statement(
    identifier="plateau",
    title="Where a score is not valid the learning curve flattens; random and calibrated do not",
    claim=(
        "On a law where no-free-lunch shows the rule invalid, the mean excess loss at fixed r is "
        "`Δ(r) + O(1/n)` for the score, a plateau at the certified gap, and `O(1/n)` for random "
        "pruning and for exact calibration of the same score."
    ),
    assumptions=(
        "the law outer-flip of the adversary's family, d = 2 and an intercept",
        "keep hardest by EL2N or entropy at r = 0.9; calibration with half the budget",
    ),
    source="Ayed and Hayou 2023 (scaling laws flatten).",
    why="The limit of the fit is another parameter; around it the error still falls like 1/n.",
    measure=measure,
)
