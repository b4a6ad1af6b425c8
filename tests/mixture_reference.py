"""Two classes by brute force: section by section of the mixtures' equations, in numpy and scipy.

Nothing is shared with the package: thresholds by bisection on masses, the proximal point by
bisection, a product rule in both logits, dense matrices, and scipy's root finder.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import root
from scipy.special import expit, ndtr


@dataclass
class Pair:
    """A problem: labels are the signs, one component a label or more.

    Attributes:
        p, mean, covariance, sign: of the components, shapes (C,), (C, d), (C, d, d), (C,).
        probe, shift: the probe's margin. delta, ridge: n / d and lambda.
        aware, hardest: which score, and which end has priority.
        r, exploit: kept share, and how much of it goes by rank; the rest is drawn from the others
            and weighs 1 over its chance.
    """

    p: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    sign: np.ndarray
    probe: np.ndarray
    shift: float
    delta: float
    ridge: float
    aware: bool
    hardest: bool
    r: float
    exploit: float


def prox(v, sign, step):
    """Where step * l(sign h) + (h - v)^2 / 2 is least, by bisection."""
    t = sign * v
    low, high = t.copy(), t + step
    for _ in range(200):
        middle = 0.5 * (low + high)
        above = middle - t - step * expit(-middle) > 0
        high, low = np.where(above, middle, high), np.where(above, low, middle)
        if np.all(high - low <= 1e-15 * (1 + np.abs(middle))):
            break
    middle = 0.5 * (low + high)
    for _ in range(2):
        q = expit(-middle)
        middle = middle - (middle - t - step * q) / (1 + step * q * (1 - q))
    return sign * middle


def bands(pair, u_mean, u_deviation):
    """(low, high, keep probability, weight) in zeta for each component."""
    first = pair.r * pair.exploit
    if pair.exploit == 1:
        kinds = [(True, 1.0, 1.0)]
    else:
        chance = (pair.r - first) / (1 - first)
        kinds = [(True, 1.0, 1.0), (False, chance, 1 / chance)]
    n = len(pair.p)

    def inside(level):  # intervals of zeta with the priority variable below the level
        out = []
        for c in range(n):
            if pair.aware:
                edge = (pair.sign[c] * level - u_mean[c]) / u_deviation[c]
                out.append((-np.inf, edge) if pair.sign[c] > 0 else (edge, np.inf))
            else:
                out.append(tuple((s * level - u_mean[c]) / u_deviation[c] for s in (-1, 1)))
        return out

    wanted = first if pair.hardest else 1 - first
    low, high = (-1e4, 1e4) if pair.aware else (0.0, 1e4)
    for _ in range(200):
        middle = 0.5 * (low + high)
        mass = sum(
            p * (ndtr(b) - ndtr(a)) for p, (a, b) in zip(pair.p, inside(middle), strict=True)
        )
        low, high = (low, middle) if mass > wanted else (middle, high)
    below = inside(0.5 * (low + high))
    found = []
    for a, b in below:
        rows = []
        for ranked, keep, weight in kinds:
            pieces = [(a, b)] if ranked == pair.hardest else [(-np.inf, a), (b, np.inf)]
            rows += [(x, y, keep, weight) for x, y in pieces if y > x]
        found.append(rows)
    return found


def nodes(low, high, count):
    """Gauss-Legendre panels on [low, high] within nine deviations."""
    low, high = max(low, -9.0), min(high, 9.0)
    if high <= low:
        return np.zeros(0), np.zeros(0)
    x, w = np.polynomial.legendre.leggauss(12)
    cuts = np.linspace(low, high, max(int(np.ceil((high - low) * count)), 2) + 1)
    half, middle = 0.5 * np.diff(cuts), 0.5 * (cuts[1:] + cuts[:-1])
    at = (middle[:, None] + half[:, None] * x).ravel()
    return at, (half[:, None] * w).ravel() * np.exp(-0.5 * at**2) / np.sqrt(2 * np.pi)


def moments(pair, kept, law, *, fine):
    """F, Q, A, B of every component at a law (m, V, X, kappa), with u's deviation."""
    m, v2, x, kappa, deviation = law
    out = []
    for c, rows in enumerate(kept):
        slope = x[c] / deviation[c]
        spread = np.sqrt(max(v2[c] - slope**2, 1e-30))
        eta, along = nodes(-9.0, 9.0, max(1.0, fine * spread))
        total = np.zeros(4)
        for low, high, keep, weight in rows:
            zeta, across = nodes(low, high, max(1.0, fine * abs(slope)))
            if not len(zeta):
                continue
            v = m[c] + slope * zeta[:, None] + spread * eta
            step = kappa[c] * weight
            h = prox(v, pair.sign[c], step)
            q = expit(-pair.sign[c] * h)
            f = -pair.sign[c] * weight * q
            response = weight * q * (1 - q) / (1 + step * q * (1 - q))
            mass = keep * across[:, None] * along
            total += [np.sum(mass * part) for part in (f, f**2, response)] + [
                np.sum(mass * f * zeta[:, None]) * deviation[c]
            ]
        force, square, response, moment = total
        out.append((force, square, response, (moment - response * x[c]) / deviation[c] ** 2))
    return np.array(out).T


def solve_pair(pair, start, *, fine=0.7):
    """m, V, X, kappa of each component and b at the root near ``start``, (4, C) and a number."""
    n, d = pair.mean.shape
    u_mean = pair.mean @ pair.probe + pair.shift
    moved = np.einsum("cij,j->ci", pair.covariance, pair.probe)
    deviation = np.sqrt(moved @ pair.probe)
    kept = bands(pair, u_mean, deviation)

    def answer(z):
        m, log_v, x, log_kappa = z[:-1].reshape(4, n)
        b, v2 = z[-1], np.exp(log_v) + (x / deviation) ** 2
        f, q, a, given = moments(pair, kept, (m, v2, x, np.exp(log_kappa), deviation), fine=fine)
        g = np.linalg.inv(
            pair.ridge * np.eye(d) + np.einsum("c,cij->ij", pair.p * a, pair.covariance)
        )
        w = -g @ ((pair.p * f) @ pair.mean + (pair.p * given) @ moved)
        noise = g @ np.einsum("c,cij->ij", pair.p * q, pair.covariance) @ g / (pair.delta * d)
        x_new = moved @ w
        v_new = np.einsum("cij,i,j->c", pair.covariance, w, w) + np.einsum(
            "cij,ji->c", pair.covariance, noise
        )
        kappa = np.einsum("cij,ji->c", pair.covariance, g) / (pair.delta * d)
        rest = np.maximum(v_new - (x_new / deviation) ** 2, 1e-300)
        changes = [
            pair.mean @ w + b - m,
            np.log(rest) - log_v,
            x_new - x,
            np.log(kappa) - log_kappa,
        ]
        return np.concatenate([np.concatenate(changes), [pair.p @ f]])

    m, v2, x, kappa, b = start
    first = np.concatenate([m, np.log(v2 - (x / deviation) ** 2), x, np.log(kappa), [b]])
    found = root(answer, first, method="hybr", options={"xtol": 1e-12})
    m, log_v, x, log_kappa = found.x[:-1].reshape(4, n)
    law = np.stack([m, np.exp(log_v) + (x / deviation) ** 2, x, np.exp(log_kappa)])
    return law, found.x[-1], float(np.abs(answer(found.x)).max())


def wrong_share(pair, law):
    """P(sign of the margin differs from the label)."""
    return float(pair.p @ ndtr(-pair.sign * law[0] / np.sqrt(law[1])))


def fit_margin(x, y, ridge, weights=None, n=None):
    """A logistic fit with a free intercept (last), by Newton's method; y = -1 or 1."""
    w = (np.ones(len(y)) if weights is None else weights) / (n or len(y))
    rows, penalty = np.c_[x, np.ones(len(x))], np.r_[np.full(x.shape[1], ridge), 0.0]
    theta = np.zeros(rows.shape[1])
    for _ in range(30):
        q = expit(-y * (rows @ theta))
        gradient = penalty * theta - rows.T @ (w * y * q)
        if np.linalg.norm(gradient) < 1e-9:
            return theta
        hessian = (rows * (w * q * (1 - q))[:, None]).T @ rows + np.diag(penalty)
        theta = theta - np.linalg.solve(hessian, gradient)
    raise AssertionError("no convergence")
