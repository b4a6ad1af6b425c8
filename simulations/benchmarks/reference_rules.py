"""Which samples the plain method keeps: quantiles by scipy's integrals and root finder.

Labels are folded: u stands for y u throughout, and h for y times the margin that is scored.
"""

# scipy's stubs are looser than its results.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.optimize
from reference_probe import REACH, Probe, gauss, pull, smoothed
from scipy.special import expit, ndtr

from nfl_pruning import Problem

brentq: Any = scipy.optimize.brentq  # its stub knows neither a float's tolerance nor its result


@dataclass
class Rule:
    """Cuts in u, the keep probability as a function of u, and the weight between the cuts."""

    cuts: np.ndarray
    keep: Callable[[np.ndarray], np.ndarray]
    omega: np.ndarray


def rule_of(problem: Problem, probe: Probe) -> Rule:
    """What the problem's selection keeps in the limit."""
    if problem.selection.name == "power":
        return power(problem, probe, cast(Any, problem.selection).exponent)
    return banded(problem, probe, bands_of(problem))


def bands_of(problem: Problem) -> list[tuple[float, float, float]]:
    """(share of all samples, keep probability, weight) of bands, first priority first."""
    r, name = problem.keep_fraction, problem.selection.name
    if name == "random":
        return [(1.0, r, 1.0)]
    if name == "window":
        offset = cast(Any, problem.selection).offset
        return [(offset, 0.0, 1.0), (r, 1.0, 1.0), (1 - offset - r, 0.0, 1.0)]
    share = r * getattr(problem.selection, "exploit", 1.0)
    rest = (r - share) / (1 - share)
    softness = {"exact": 1.0, "soft:0.5": 0.5, "threshold": 0.0}[problem.selection.label]
    return [(share, 1.0, 1.0), (1 - share, rest, rest**-softness if rest > 0 else 1.0)]


def banded(problem: Problem, probe: Probe, bands: list[tuple[float, float, float]]) -> Rule:
    """Bands between quantiles of u (label-aware), of |h|, or of |h - 2| for the off-band score."""
    centre = 2.0 if problem.score.name == "off-band" else 0.0  # where the score is least or most
    low_first = bands if (problem.keep == "hardest") == (centre == 0) else bands[::-1]
    z, z_weight = gauss(np.linspace(-REACH, REACH, 700))
    probability = 2 * expit(problem.teacher.scale * z) * z_weight
    perp = np.sqrt(1 - probe.rho**2)
    kappa = probe.kappa if probe.own else 0.0

    def below(t: float) -> float:
        return float(np.sum(probability * ndtr((t - probe.rho * z) / perp)))

    def ends(c: float) -> list[float]:
        return [(h - kappa * expit(-h)) / probe.sigma for h in (centre - c, centre + c)]

    def inside(c: float) -> float:
        low, high = ends(c)
        return below(high) - below(low)

    sums = np.cumsum([share for share, _, _ in low_first])[:-1]
    if problem.score.name == "el2n":
        cuts = [brentq(lambda t, s=s: below(t) - s, -REACH, REACH, xtol=1e-15) for s in sums]
        row = low_first
    else:
        far = REACH * probe.sigma + kappa + centre
        sizes = [brentq(lambda c, s=s: inside(c) - s, 0, far, xtol=1e-15) for s in sums]
        cuts = sorted(end for size in sizes for end in ends(size))
        row = low_first[:0:-1] + low_first
    inner = np.clip(cuts, -REACH, REACH)
    _, keep, omega = np.array(row).T
    return Rule(inner, lambda u: keep[np.searchsorted(inner, u)], omega)


def power(problem: Problem, probe: Probe, exponent: float) -> Rule:
    """Keep min(1, c [p (1 - p)]^exponent) with p (1 - p) = 1 / (2 cosh(h / 2))^2."""
    kappa, rho = (probe.kappa if probe.own else 0.0), probe.rho
    link, _ = smoothed(problem.teacher.scale, np.sqrt(1 - rho**2), REACH)

    def log_propensity(u: np.ndarray) -> np.ndarray:
        v = probe.sigma * u
        h = np.abs(v - kappa * pull("logistic", v, np.asarray(kappa)))
        return -exponent * (h + 2 * np.log1p(np.exp(-h)))

    def kinks(log_c: float) -> np.ndarray:
        """Where the keep probability reaches 1, and where h = 0."""
        cosh = 0.5 * np.exp(0.5 * np.clip(log_c / exponent, -700, 700))
        h = np.array([-2, 2]) * np.arccosh(cosh) if cosh > 1 else np.zeros(1)
        return np.clip((h - kappa * expit(-h)) / probe.sigma, -REACH, REACH)

    def marks(log_c: float) -> np.ndarray:
        """Kinks and 0, with places around them as close as the keep probability falls fast."""
        offsets = 2.0 ** np.arange(-2, 14) / (1 + abs(exponent) * probe.sigma)
        places = np.append(kinks(log_c), 0.0)[:, None] + np.concatenate([-offsets, [0.0], offsets])
        return np.unique(np.clip(places, -REACH, REACH))

    def excess(log_c: float) -> float:
        u, weight = gauss(np.unique([*np.linspace(-REACH, REACH, 400), *marks(log_c)]))
        keep = np.exp(np.minimum(0.0, log_c + log_propensity(u)))
        return float(np.sum(2 * weight * link(rho * u) * keep)) - problem.keep_fraction

    logs = log_propensity(np.linspace(-REACH, REACH, 2001))
    ends = np.log(problem.keep_fraction) - logs.max() - 1, 1 - logs.min()
    log_c = ends[1] if excess(ends[1]) <= 0 else brentq(excess, *ends, xtol=1e-14)
    cuts = marks(log_c)
    return Rule(
        cuts,
        lambda u: np.exp(np.minimum(0.0, log_c + log_propensity(u))),
        np.ones(len(cuts) + 1),
    )
