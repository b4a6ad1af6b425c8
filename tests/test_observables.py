"""Population risks against plain quadrature and Monte Carlo."""

# scipy's stubs are looser than its results.

from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import expit
from scipy.stats import norm

from nfl_pruning.links import parse_link
from nfl_pruning.losses import LOSSES
from nfl_pruning.problem import Teacher
from nfl_pruning.theory.observables import best_loss, observables

TEXTS = ("logistic", "probit", "sign", "steps:0:0.05,0.95", "steps:-1,0.5:0.1,0.6,0.9")
SLOW = pytest.mark.slow
LOSS = {"logistic": lambda t: np.logaddexp(0, -t), "squared": lambda t: 0.5 * (1 - t) ** 2}


def chance(text, margin):
    """The link, written anew."""
    if text == "logistic":
        return expit(margin)
    if text == "probit":
        return norm.cdf(margin)
    if text == "sign":
        return np.where(margin > 0, 1.0, 0.0)
    breaks, values = (np.array(part.split(","), float) for part in text.split(":")[1:])
    return values[np.searchsorted(breaks, margin)]


def panels(edges, n=24):
    x, w = np.polynomial.legendre.leggauss(n)
    half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    return (middle + half * x).ravel(), (half * w).ravel()


def plane(text, signal, *, rho):
    """Nodes (student's axis w, teacher's axis z), P(y = 1) and masses; panels end on all jumps."""
    scale = 1.0 if text == "sign" else signal
    jumps = [0.0] if text in ("sign",) else []
    if text.startswith("steps"):
        jumps = [float(b) / scale for b in text.split(":")[1].split(",")]
    z, z_weight = panels(np.unique([*np.linspace(-8.5, 8.5, 35), *jumps]), 8)
    columns = []
    root = np.sqrt(1 - rho**2)
    for a, weight in zip(z, z_weight * norm.pdf(z), strict=True):
        cut = -rho * a / root  # where the student's margin changes sign
        cuts = np.unique([*np.linspace(-8.5, 8.5, 35), np.clip(cut, -8.5, 8.5)])
        g, g_weight = panels(cuts, 8)
        columns.append(
            np.stack([rho * a + root * g, np.full_like(g, a), weight * g_weight * norm.pdf(g)])
        )
    w, z, mass = np.concatenate(columns, axis=1)
    return w, chance(text, scale * z), mass


@pytest.mark.parametrize(
    "text", [pytest.param(text, marks=SLOW if text != TEXTS[-1] else ()) for text in TEXTS]
)
def test_against_a_tensor_grid_in_teacher_and_noise(text):
    cases = [(0.7, 1.5, 1.3), (-0.4, 3.0, 2.0)]
    cosines, norms = (np.array([case[i] for case in cases]) for i in (0, 1))
    found = {}
    for (cosine, size, signal), column in zip(cases, range(2), strict=True):
        w, positive, mass = plane(text, signal, rho=cosine)
        wrong = np.sum(mass * np.where(w > 0, 1 - positive, positive))
        for name, value in LOSS.items():
            teacher = Teacher(link=parse_link(text), signal=signal)
            found = observables(teacher, LOSSES[name], cosine=cosines, norm=norms)
            expected = np.sum(
                mass * (positive * value(size * w) + (1 - positive) * value(-size * w))
            )
            assert abs(found["test_error"][column] - wrong) < 1e-11
            assert abs(found["test_loss"][column] - expected) < 1e-10 * max(1, expected)

        def logistic(c, w=w, positive=positive, mass=mass, size=size):
            t = c * size * w
            return np.sum(
                mass * (positive * np.logaddexp(0, -t) + (1 - positive) * np.logaddexp(0, t))
            )

        slope = found["calibration_slope"][column]
        best: Any = minimize_scalar(logistic, bracket=(slope - 0.5, slope + 0.4), tol=1e-10)
        assert abs(best.x - slope) < 1e-6


def test_against_monte_carlo():
    rng = np.random.default_rng(5)
    n = 400_000
    w, g = rng.normal(size=(2, n))
    text = "steps:-1,0.5:0.1,0.6,0.9"
    y = np.where(rng.uniform(size=n) < chance(text, 1.4 * (0.5 * w + np.sqrt(0.75) * g)), 1, -1)
    teacher = Teacher(link=parse_link(text), signal=1.4)
    found = observables(teacher, LOSSES["logistic"], cosine=0.5, norm=2.2)
    for name, sample in (("test_error", y * w < 0), ("test_loss", np.logaddexp(0, -2.2 * y * w))):
        error = np.std(sample) / np.sqrt(n)
        assert error < 2.5e-3
        assert abs(np.mean(sample) - found[name]) < 4 * error
        shifted = observables(teacher, LOSSES["logistic"], cosine=0.53, norm=2.2)
        assert abs(np.mean(sample) - shifted[name]) > 4 * error  # a wrong cosine is seen


BEST = [("steps:0:0.9,0.1", "logistic"), ("steps:0.3:0.8,0.3", "squared")]
REST = [(text, loss) for text in (*TEXTS, "steps:0:0.5,0.5") for loss in LOSS]


@pytest.mark.parametrize(
    ("text", "loss"), [*BEST, *(pytest.param(*pair, marks=SLOW) for pair in REST)]
)
def test_best_loss_is_the_least_over_norms_of_either_sign(text, loss):
    """Anti-aligned links have their minimiser at minus the teacher; flat ones at 0."""
    for signal in (0.0, 3.0):
        scale = 1.0 if text == "sign" else signal
        jumps = [0.0]
        if text.startswith("steps") and scale:
            jumps += [float(b) / scale for b in text.split(":")[1].split(",")]
        jumps = [j for j in jumps if abs(j) < 8.5]
        z, weight = panels(np.unique([*np.linspace(-8.5, 8.5, 60), *jumps]), 12)
        mass, positive = weight * norm.pdf(z), chance(text, scale * z)

        def risk(size, z=z, mass=mass, positive=positive):
            value = LOSS[loss]
            return np.sum(mass * (positive * value(size * z) + (1 - positive) * value(-size * z)))

        found = best_loss(Teacher(link=parse_link(text), signal=signal), LOSSES[loss])
        if text == "sign" and loss == "logistic":
            assert found == 0.0  # the teacher separates: the infimum lies at an infinite norm
            continue
        least: Any = minimize_scalar(
            risk, bounds=(-12, 12), method="bounded", options={"xatol": 1e-10}
        )
        assert abs(found - least.fun) < 1e-9
        # and no direction off the teacher's axis does better
        values = observables(
            Teacher(link=parse_link(text), signal=signal),
            LOSSES[loss],
            cosine=np.repeat([-1.0, -0.9, 0.0, 0.9, 1.0], 4),
            norm=np.tile([0.0, 0.5, 1.5, 4.0], 5),
        )
        assert (values["excess_risk"] > -1e-12).all()


def test_known_values():
    none = observables(
        Teacher(), LOSSES["logistic"], cosine=np.array([0.3, 1.0]), norm=np.array([0.0, 1.0])
    )
    np.testing.assert_allclose(none["test_loss"][0], np.log(2), rtol=1e-14)
    assert np.isnan(none["calibration_slope"][0])
    np.testing.assert_allclose(none["calibration_slope"][1], 1.0, atol=1e-9)  # the truth
    np.testing.assert_allclose(none["excess_risk"][1], 0.0, atol=1e-13)
    noiseless = observables(
        Teacher(link=parse_link("sign")), LOSSES["logistic"], cosine=0.8, norm=1.0
    )
    np.testing.assert_allclose(noiseless["test_error"], np.arccos(0.8) / np.pi, rtol=1e-13)
    assert (
        observables(Teacher(link=parse_link("sign")), LOSSES["logistic"], cosine=1.0, norm=3.0)[
            "calibration_slope"
        ]
        == np.inf
    )


def test_shapes_and_what_is_unknown():
    cosine = np.array([[0.1, np.nan], [0.9, -0.5]])
    values = observables(Teacher(), LOSSES["logistic"], cosine=cosine, norm=np.ones((2, 2)))
    for value in values.values():
        assert value.shape == (2, 2) and value.dtype == np.float64
        assert np.isnan(value).sum() == 1 and np.isnan(value[0, 1])


def test_steep_teachers_and_large_norms_keep_their_digits():
    """An adaptive quadrature in one variable, told where the layers are."""
    nodes = np.polynomial.hermite_e.hermegauss(150)
    for signal, cosine, size in ((300.0, 0.9999, 40.0), (0.01, 0.2, 200.0)):
        spread = signal * np.sqrt(1 - cosine**2)
        found = observables(Teacher(signal=signal), LOSSES["logistic"], cosine=cosine, norm=size)

        def positive(w, spread=spread, signal=signal, cosine=cosine):
            (x, weight), centre = nodes, signal * cosine * w
            return np.sum(weight * expit(centre + spread * x)) / np.sqrt(2 * np.pi)

        def loss(w, size=size, positive=positive):
            p, t = positive(w), size * w
            return norm.pdf(w) * (p * np.logaddexp(0, -t) + (1 - p) * np.logaddexp(0, t))

        points = sorted({s * x for x in (0.003, 0.01, 0.03, 0.1, 0.3) for s in (-1, 1)} | {0.0})
        value = quad(loss, -8.5, 8.5, points=points, limit=500, epsabs=1e-11)[0]
        assert abs(found["test_loss"] - value) < 1e-6 * max(1, value)
