"""Learning curves: a plateau where pruning is not valid, a power law where it is."""

from __future__ import annotations

import jax
import numpy as np

from nfl_pruning.adversary.certify import certify
from nfl_pruning.adversary.laws import EXPLICIT, Law
from nfl_pruning.adversary.population import Nodes, law_nodes, minimiser, risk
from nfl_pruning.adversary.ranking import Rank, ranker
from nfl_pruning.scores import SCORES
from nfl_pruning.selections import select
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.summary import mean_and_error

LAW = "outer-flip"
CASES = {"el2n": 0.9, "entropy": 0.9}  # score: keep fraction, keep hardest
SIZES = {
    "quick": ((200, 400), (800, 240), (3200, 160), (12800, 80)),
    "paper": ((500, 4000), (2000, 2000), (8000, 1000), (32000, 500)),
}
PROTOCOLS = {"threshold": "aware-hardest", "random": "random", "exact": "exact"}
EXPLOIT = 0.5


def excess(law: Law, rank: Rank, fraction: float, key: jax.Array, n: int) -> list[float]:
    """Excess losses of the three protocols on one sample of size n."""
    nodes = _NODES.setdefault(law, law_nodes(law, 97))
    best = _BEST.setdefault(law, risk(minimiser(nodes)[0], nodes))
    key_data, key_select = jax.random.split(key)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key_data)).tolist())
    x, y = law.sample(rng, n)
    priority = rank(x, y)
    found = []
    for protocol in PROTOCOLS:
        chosen = select(key_select, priority, fraction, selection=protocol, exploit=EXPLOIT)
        rows, weight = chosen.indices, chosen.weights[chosen.indices]
        mass = np.stack([y[rows] > 0, y[rows] < 0]) * weight / weight.sum()
        found.append(risk(minimiser(Nodes(x[rows], mass))[0], nodes) - best)
    return found


_NODES: dict[Law, Nodes] = {}
_BEST: dict[Law, float] = {}


def fit_curves(n: np.ndarray, mean: np.ndarray, error: np.ndarray) -> dict[str, float]:
    """Weighted fits of a + b / n + c / n^2 and of b n^-c, and how much better the first one is.

    The relative error of each mean turns the second into a line in logarithms. ``evidence`` is the
    chi-square of the power law less that of the plateau; both have two parameters.
    """
    design = np.stack([np.ones_like(n), 1 / n, 1 / n**2], 1) / error[:, None]
    covariance = np.linalg.inv(design.T @ design)
    a, b, c = covariance @ design.T @ (mean / error)
    chi_plateau = np.sum(((mean - a - b / n - c / n**2) / error) ** 2)
    relative = error / mean
    lines = np.stack([np.ones_like(n), np.log(n)], 1) / relative[:, None]
    spread = np.linalg.inv(lines.T @ lines)
    intercept, slope = spread @ lines.T @ (np.log(mean) / relative)
    power = np.exp(intercept) * n**slope
    chi_power = np.sum(((mean - power) / error) ** 2)
    return {
        "plateau": float(a), "plateau_error": float(np.sqrt(covariance[0, 0])),
        "coefficient": float(b), "curvature": float(c), "exponent": float(slope),
        "exponent_error": float(np.sqrt(spread[1, 1])),
        "evidence": float(chi_power - chi_plateau - 2),
    }  # fmt: skip


def measure(preset: str, seed: int) -> Measured:
    """Learning curves of the threshold rule, random and exact calibration."""
    law, quantities, plots = EXPLICIT[LAW], [], []
    for number, (name, fraction) in enumerate(CASES.items()):
        gap = certify(law, SCORES[name], fraction).gap
        best, _ = minimiser(law_nodes(law, 193))
        rank = ranker(SCORES[name], law, best, "hardest")
        curves = {protocol: [] for protocol in PROTOCOLS}
        n = np.array([float(size) for size, _ in SIZES[preset]])
        for size, repeats in SIZES[preset]:
            root = jax.random.fold_in(jax.random.key(seed), 600 + 10 * number)
            rows = [excess(law, rank, fraction, jax.random.fold_in(jax.random.fold_in(root, size),
                                                                   i), size)
                    for i in range(repeats)]  # fmt: skip
            for protocol, values in zip(PROTOCOLS, np.array(rows).T, strict=True):
                curves[protocol].append(mean_and_error(values))
        series = []
        for protocol, look in PROTOCOLS.items():
            mean, error = np.array(curves[protocol]).T
            found = fit_curves(n, mean, error)
            quantities += _judge(f"{protocol}, {name}, r = {fraction:g}", protocol, found, gap)
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


def _judge(text: str, protocol: str, found: dict[str, float], gap: float) -> list[Quantity]:
    dof = 50.0
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
