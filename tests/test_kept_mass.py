"""What a selection keeps: right however narrow or steep it is, and never certified where wrong."""

# Texts stand for objects and numbers may be None here; a test fails where that is wrong.

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from brute_force import brentq
from nfl_pruning import Problem, Status, existence_threshold, solve
from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.scores import Score
from nfl_pruning.selections import Power
from nfl_pruning.theory.existence import separability
from nfl_pruning.theory.integrators.conditioned import batch
from nfl_pruning.theory.integrators.conditioned.cell import Cell, Kind
from nfl_pruning.theory.integrators.conditioned.equations import Integral, value_and_kept
from nfl_pruning.theory.integrators.conditioned.known import known
from nfl_pruning.theory.integrators.conditioned.limit import Limit, Unknowns, _report
from nfl_pruning.theory.integrators.conditioned.mesh import Nodes, build_mesh
from nfl_pruning.theory.integrators.conditioned.solver import Answer
from nfl_pruning.theory.integrators.panels import certify, mesh
from nfl_pruning.theory.integrators.panels.newton import newton
from nfl_pruning.theory.probe_limit import selection_law
from nfl_pruning.theory.selection_law import keep_law, ordering
from nfl_pruning.theory.selection_law.kept_mass import kept_mass
from nfl_pruning.theory.selection_law.level_sets import GRID

pytestmark = pytest.mark.optimised

STEEP = Problem(samples_per_feature=100, selection=Power(10.0), keep_fraction=0.3).replace(
    signal=20, ridge=0.01, probe="fixed:0.8"
)
IN_SAMPLE = Problem(samples_per_feature=100, score="entropy", keep_fraction=1e-3).replace(
    signal=2, ridge=1e-3, probe="in-sample:0.02"
)


def margin_of(logits, labels):
    return jnp.where(labels == 1, 1, -1) * (logits[..., 1] - logits[..., 0])


OFF_BAND = Score("off-band", lambda z, y, c: jnp.abs(margin_of(z, y) - 2), label_aware=True)
BAND = Problem(samples_per_feature=2000, score=OFF_BAND, keep="easiest").replace(
    signal=2, ridge=1e-4, probe="fixed:0.8", keep_fraction=1e-3
)


def test_a_steep_smooth_rule_keeps_its_tail():
    """Values by two codes that share nothing with the package; d = 50: cosine 0.7874 +- 0.0010."""
    found = solve(STEEP)
    assert found.status is Status.CERTIFIED
    assert abs(found.cosine - 0.7877473606) < 1e-9 and abs(found.norm - 2.2050877599) < 1e-8
    assert abs(existence_threshold(STEEP) - 41.790) < 1e-3


@pytest.mark.parametrize("exponent", [10.0, 300.0, 1e5, -40.0, 0.05])
@pytest.mark.parametrize("fraction", [0.3, 1e-3])
def test_smooth_rules_keep_what_plain_quadrature_says(exponent, fraction):
    law = selection_law(STEEP.replace(selection=Power(exponent), keep_fraction=fraction))

    def log_power(u):  # log of [4 p (1 - p)]^exponent
        return -2 * exponent * (np.logaddexp(10 * u, -10 * u) - np.log(2))

    def kept(log_c):
        fall = 40 / (20 * abs(exponent))
        kink = brentq(lambda u: log_c + log_power(u), 0, 9) if log_c * exponent > 0 else 0.0
        ends = np.unique(np.clip([0, *(kink + fall * np.linspace(-1, 1, 9)), 9], 0, 9))

        def density(u):
            return 2 * norm.pdf(u) * np.exp(np.minimum(0, log_c + log_power(u)))

        pieces = pairwise(ends)
        return sum(quad(density, a, b, epsabs=1e-14, epsrel=1e-12)[0] for a, b in pieces)

    places = np.array([0.0, 0.01, 0.3, 1.0, 3.0])
    keep = law.evaluate(places)[0][0, 0]
    inside = (keep > 1e-200) & (keep < 1)
    if inside.any():
        log_c = np.log(keep[inside][0]) - log_power(places[inside][0])
        assert abs(kept(log_c) / fraction - 1) < 1e-9
        assert abs(kept(log_c + 1e-3) / fraction - 1) > 1e-6
    assert law.defect < 1e-9 and abs(law.mean(0) / fraction - 1) < 1e-9


def test_rules_that_keep_little_everywhere_are_solved():
    found = solve(STEEP.replace(selection=Power(8.0), keep_fraction=0.02))
    assert found.status is Status.CERTIFIED
    shallow = STEEP.replace(selection=Power(-5.3), probe="fixed:0.78:2.5", keep_fraction=5e-5)
    assert solve(shallow).status is Status.CERTIFIED  # least kept in the middle of a piece
    abundant = solve(STEEP.replace(selection=Power(300.0), keep_fraction=0.02), limit="abundant")
    assert abundant.status is Status.CERTIFIED and abs(abundant.cosine - 1) < 1e-9


def test_level_sets_narrower_than_a_grid():
    """Values by other codes; the sweep's own thresholds give the first one, too."""
    entropy, band = solve(IN_SAMPLE), solve(BAND)
    assert entropy.status is band.status is Status.CERTIFIED
    assert abs(entropy.norm - 0.515231472) < 1e-8
    assert abs(band.cosine - 0.8062489156) < 1e-9 and abs(band.norm - 1.5580086672) < 1e-9


CURVES = {
    "kink between grid points": (lambda m: jnp.abs(m - 1.2345678), 1),
    "smooth, two levels of rest": (lambda m: jnp.cos(1.7 * m + 0.3) * jnp.exp(-0.1 * m**2), 2),
    "many crossings": (lambda m: jnp.sin(6 * m) + 0.01 * m, 3),
    "plateaus": (lambda m: jnp.round(3 * jnp.sin(m)), 4),
    "a jump": (lambda m: jnp.where(m > 0.12345, m, -m), 5),
    "a wide range": (lambda m: jnp.exp(20 * m), 6),
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize(
    ("fraction", "keep"),
    [
        (0.3, "hardest"),
        (1e-5, "easiest"),
        pytest.param(0.3, "easiest", marks=pytest.mark.slow),
        pytest.param(1e-5, "hardest", marks=pytest.mark.slow),
    ],
)
def test_general_orders_keep_what_was_asked_for(name, fraction, keep):
    curve, number = CURVES[name]
    score = Score(f"curve-{number}", lambda z, y, c: curve(margin_of(z, y)), label_aware=True)
    problem = BAND.replace(score=score, keep=keep, keep_fraction=fraction)
    law = selection_law(problem)
    # P(kept) by a sum over a fine even grid around the places where something is kept.
    edges = np.unique(np.concatenate([law.breaks, np.linspace(-8, 8, 4001)]))
    total = 0.0
    for i, y in enumerate((1, -1)):
        a, b = edges[:-1], edges[1:]
        u = a[:, None] + (b - a)[:, None] * (np.polynomial.legendre.leggauss(6)[0] + 1) / 2
        weight = np.polynomial.legendre.leggauss(6)[1] / 2 * (b - a)[:, None]
        spread = 2 * np.sqrt(1 - 0.8**2)
        t, w = np.polynomial.hermite_e.hermegauss(60)
        positive = sum(v * expit(1.6 * u + spread * s) for s, v in zip(t, w / w.sum(), strict=True))
        chance = positive if y > 0 else 1 - positive
        kept = law.evaluate(u.ravel())[0].sum(0)[i].reshape(u.shape)
        total += float(np.sum(weight * kept * chance * norm.pdf(u)))
    assert abs(total / fraction - 1) < 1e-7
    # Near a smooth turn the score itself, in floating point, has no finer levels.
    assert law.defect < (1e-7 if number == 2 and fraction == 1e-5 else 1e-9)


@pytest.mark.parametrize("period", [GRID[-1] / 2000, 0.0095, 1e-3])
def test_scores_that_no_grid_resolves_are_refused(period):
    score = Score(
        f"wave-{period}", lambda z, y, c: jnp.cos(2 * jnp.pi * margin_of(z, y) / 2 / period), True
    )
    found = solve(BAND.replace(score=score, keep_fraction=0.01))
    assert found.status is Status.UNSUPPORTED and "turns more than" in found.message


def test_the_kept_mass_is_found_without_breaks():
    law = selection_law(BAND)
    assert abs(kept_mass(law.label_law, law.evaluate, law.breaks) / 1e-3 - 1) < 1e-10
    third = selection_law(BAND.replace(keep_fraction=0.3))
    wrong = [np.zeros(0), np.array([0.1, 0.2]), np.array([0.3])]
    for breaks in wrong:
        assert abs(kept_mass(third.label_law, third.evaluate, breaks) / 0.3 - 1) < 1e-10
    assert replace(third, fraction=0.3 * (1 + 1e-8)).defect > 5e-9


def one_point(law, n_labels):
    """Pieces by the keep probability in their middle, to see where it underflows."""
    edges = np.unique(np.concatenate([[-9.5], law.breaks, [9.5]]))
    keep = law.evaluate(0.5 * (edges[1:] + edges[:-1]))[0][:, :n_labels].max(axis=(0, 1))
    return [(a, b) for a, b, k in zip(edges[:-1], edges[1:], keep, strict=True) if k > 1e-3]


def test_a_mesh_that_loses_mass_is_not_certified(monkeypatch):
    law = keep_law.keep_law
    for module in (mesh, separability):
        monkeypatch.setattr(module, "kept_intervals", one_point)
    problem = STEEP.replace(selection=Power(2.0), signal=5)
    found = solve(problem)
    assert found.status is Status.NOT_CERTIFIED and "kept share of the quadrature" in found.message
    assert found.error_estimate > 1e-6
    assert law is keep_law.keep_law
    with pytest.raises(ValueError, match="kept share of the quadrature"):
        existence_threshold(problem)


def test_a_threshold_that_is_off_is_not_certified(monkeypatch):
    exact = ordering.GeneralOrder.cut
    monkeypatch.setattr(
        ordering.GeneralOrder, "cut", lambda self, share: exact(self, share * (1 + 1e-7))
    )
    found = solve(BAND)
    assert found.status is Status.NOT_CERTIFIED and "limiting selection" in found.message
    assert found.error_estimate > 5e-8
    assert solve(BAND, limit="abundant").status is Status.UNSUPPORTED
    with pytest.raises(UnsupportedProblemError, match="limiting selection"):
        selection_law(BAND).checked()


def test_the_mass_of_a_mesh_is_that_of_its_nodes():
    with jax.enable_x64(True):
        law = selection_law(STEEP)
        system = certify.System(STEEP, law, STEEP.student.loss, 0.01)
        x = np.array([0.5, 0.5, -1.0, -3.0])
        bare = replace(system, law=replace(law, floor=1.0 - 1e-12))
        good, wrong = (newton(each, x, mesh.LEVELS[2], max_steps=0) for each in (system, bare))
        assert certify.mesh_defect(system, good) < 1e-9
        assert certify.mesh_defect(bare, wrong) > 1e-3


def cell_of(edge):
    """Samples with y u below an edge are kept."""
    delta, ridge, rho, scale = (jnp.asarray(part) for part in (6.0, 0.01, 0.8, 2.0))
    bands = jnp.array([[edge]]), jnp.array([[1.0, 0.0]]), jnp.ones((1, 2))
    return Cell(delta, ridge, rho, scale, *bands)


def test_compiled_cells_know_what_their_nodes_keep():
    problem = Problem(score="el2n", keep_fraction=0.3).replace(signal=2, probe="fixed:0.8")
    law = selection_law(problem)
    with jax.enable_x64(True):
        kind = Kind(problem.teacher.link, problem.student.loss, False, (1,))
        x, nodes = jnp.array([-0.5, 0.5, 0.1, 1.0]), Nodes(96, 96)
        kept = law.evaluate(law.breaks - 1e-9)[0][0, 0] - law.evaluate(law.breaks + 1e-9)[0][0, 0]
        (right,) = law.breaks[kept == 1]

        @jax.jit
        def kept_at(edge):
            cell = cell_of(edge)
            how = Integral(build_mesh(kind, cell, x, nodes), nodes.zeta, jnp.asarray(0.3))
            return value_and_kept(kind, cell, x, how)[1]

        for edge, expected in ((right, 0.3), (right + 1e-6, None)):
            kept = float(kept_at(edge))
            assert abs(kept - 0.3) < 1e-12 if expected else abs(kept - 0.3) > 1e-8


def test_compiled_cells_with_a_wrong_mass_are_not_good(monkeypatch):
    """The mass enters the error estimate, and decides alone beyond its tolerance."""
    problem = Problem(keep_fraction=0.3).replace(signal=2, probe="fixed:0.8")
    taken = known(problem)
    assert taken is not None
    with jax.enable_x64(True):
        x = jnp.array([0.5, 0.5, 0.1, 1.0])
        for share, mass in ((0.3, 0.0), (0.3 * (1 + 4e-9), 4e-9)):
            answer = Answer(x, x, jnp.asarray(0.0), jnp.asarray(1), jnp.asarray(share))
            setting = type(taken.setting)(*(jnp.asarray(part) for part in taken.setting))
            limit, state = _report(taken.kind, setting, answer, before=jnp.zeros(()))
            assert abs(float(limit.mass_error) - mass) < 1e-14
            assert abs(float(limit.error_estimate) - mass) < 1e-14
            table = np.array([[float(part)] for part in (*limit, *state)])
            monkeypatch.setattr(batch, "_run", lambda asked, part, table=table: table)
            columns = type(taken.setting)(*(np.asarray(part)[None] for part in taken.setting))
            found = batch.run_batch(taken.kind, taken.rule, columns)
            assert found.good[0] == (mass == 0)
    assert len(Limit._fields) + len(Unknowns._fields) == len(table)
