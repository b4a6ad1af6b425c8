"""Small faults that long runs alone would meet are noticed: estimates, targets, offsets, noise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from nfl_pruning import Problem, power_law
from nfl_pruning.montecarlo import spectral
from nfl_pruning.selections import Window, select
from nfl_pruning.theory.abundant import limit as abundant
from nfl_pruning.theory.closing import FreshClosing
from nfl_pruning.theory.integrators.conditioned import batch
from nfl_pruning.theory.integrators.conditioned.known import known
from nfl_pruning.theory.integrators.conditioned.limit import Limit, Unknowns, _report
from nfl_pruning.theory.integrators.conditioned.solver import Answer
from nfl_pruning.theory.integrators.panels import certify
from nfl_pruning.theory.integrators.panels.certify import ROUNDING, Digits
from nfl_pruning.theory.integrators.panels.newton import Root
from nfl_pruning.theory.probe_limit import selection_law
from nfl_pruning.theory.spectral_probe import probe_of

BASE = Problem(score="margin", keep_fraction=0.3).replace(signal=2, probe="fixed:0.8")


def test_a_distance_is_the_largest_change():
    here = Digits(0.5, 2.0, 0.3)
    assert here.distance(Digits(0.5 - 3e-4, 2.0, 0.3)) == pytest.approx(3e-4, rel=1e-9)
    assert here.distance(Digits(0.5, 2.0 / (1 + 7e-5), 0.3)) == pytest.approx(7e-5, rel=1e-9)
    assert here.distance(Digits(0.5, 2.0, 0.3 + 2e-6)) == pytest.approx(2e-6, rel=1e-9)


@pytest.mark.parametrize(("shift", "meshes"), [(1e-3, 5), (1e-7, 4), (3e-10, 2)])
def test_the_estimate_is_the_change_between_the_last_two_meshes(monkeypatch, shift, meshes):
    """Norms that fall by factors of 30 from mesh to mesh, and what is made of them."""
    norms = [2.0 * (1 + shift * 30.0**-k) for k in range(5)]
    seen = []

    def newton(system, x, level, max_steps):
        seen.append(level)
        return Root(np.array([norms[len(seen)]]), 0.0, 1)

    monkeypatch.setattr(certify, "solve_coarse", lambda s: (Root(np.array([norms[0]]), 0, 1), 0))
    monkeypatch.setattr(certify, "newton", newton)
    monkeypatch.setattr(certify, "digits_of", lambda system, x: Digits(0.5, float(x[0]), 0.3))
    monkeypatch.setattr(certify, "mesh_defect", lambda *arguments: 0.0)
    found = certify.certified_root(cast(Any, SimpleNamespace(law=SimpleNamespace(defect=0.0))))
    last = len(seen)
    assert last + 1 == meshes and found.flaw == ""
    expected = abs(norms[last] / norms[last - 1] - 1) + ROUNDING
    assert found.error == pytest.approx(expected, rel=1e-6)


def test_the_estimate_of_abundant_data_is_the_change(monkeypatch):
    at = iter([2.0, 2.0002, 2.00021, 2.000211])
    monkeypatch.setattr(
        abundant, "ball_minimum",
        lambda *args, **kwargs: SimpleNamespace(theta=np.array([next(at), 0.0])),
    )  # fmt: skip
    law = abundant.plane_law(BASE.replace(selection="random"), None)
    error = abundant._certified(law, 100.0, on_boundary=False)[2]
    assert error == pytest.approx(1e-6 / 2.00021, rel=1e-3)


def test_the_compiled_estimate_is_the_change_to_the_coarser_quadrature():
    taken = known(BASE)
    assert taken is not None
    with jax.enable_x64(True):
        setting = type(taken.setting)(*(jnp.asarray(part) for part in taken.setting))
        fine = jnp.array([0.5, 0.5, 0.1, 1.0])
        rough = fine.at[2].add(1e-5)
        answer = Answer(fine, rough, jnp.asarray(0.0), jnp.asarray(1), jnp.asarray(0.3))
        limit, _ = _report(taken.kind, setting, answer, before=jnp.zeros(()))
        sizes = [np.sqrt(0.5 + np.exp(2 * x)) for x in (0.1, 0.1 + 1e-5)]
        along = 0.8 * 0.5 + 0.6 * 0.5
        changes = abs(sizes[0] / sizes[1] - 1), abs(along / sizes[0] - along / sizes[1])
        assert float(limit.error_estimate) == pytest.approx(max(changes), rel=1e-6)


@pytest.mark.parametrize(
    ("error", "residual", "good"),
    [(0.9e-8, 0.0, True), (1.1e-8, 0.0, False), (1e-3, 0.0, False), (1e-9, 1e-9, False)],
)
def test_only_small_estimates_are_good_in_a_sweep(monkeypatch, error, residual, good):
    taken = known(BASE)
    assert taken is not None
    numbers = (0.5, 2.0, 0.3, 0.6, 0.8, error, residual, 0.0, 0.1, 0.2, 0.3, 0.4, 0.0)
    assert len(numbers) == len(Limit._fields) + len(Unknowns._fields)
    rows = np.array([[number] for number in numbers])
    monkeypatch.setattr(batch, "_run", lambda asked, part: rows)
    columns = type(taken.setting)(*(np.asarray(part)[None] for part in taken.setting))
    assert batch.run_batch(taken.kind, taken.rule, columns).good[0] == good


@pytest.mark.parametrize("offset", [0.0, 0.2, 0.65])
def test_a_window_starts_at_its_offset(offset):
    window, keep = Window(offset), 0.3
    shares = [stratum.share for stratum in window.strata(keep)]
    np.testing.assert_allclose(shares, [offset, keep, 1 - offset - keep], atol=1e-15)
    law = selection_law(BASE.replace(selection=window))
    ends = norm.ppf(0.5 + 0.5 * np.array([offset, offset + keep]))  # of |u|, smallest first
    np.testing.assert_allclose(law.breaks[law.breaks > 1e-9], ends[ends > 0], atol=1e-12)
    scores = np.random.default_rng(0).permutation(1000.0 - np.arange(1000))
    kept = select(jax.random.key(0), scores, keep, selection=window)
    first = 1000 - round(1000 * offset)
    assert set(scores[kept.indices]) == set(np.arange(first, first - 300, -1.0))


def _fresh(problem, spectrum):
    closing = probe_of(problem, spectrum).closing
    assert isinstance(closing, FreshClosing)
    return closing


def test_the_noise_of_a_spectral_probe_is_isotropic_in_whitened_inputs():
    """A fixed probe's, in the equations and in the trials; features' variances differ 30-fold."""
    spectrum = power_law(1.2, 1.0, 20)
    s, t = spectrum.eigenvalues, spectrum.teacher
    inside = 1 - spectrum.outside
    noise = s * (_fresh(BASE, spectrum).uu - (0.8 / inside * t) ** 2)
    np.testing.assert_allclose(noise, (1 - 0.64 / inside) / 20, rtol=1e-9)
    keys = jax.random.split(jax.random.key(1), 400)
    with jax.enable_x64(True):
        drawn = np.stack([spectral._probe_vector(key, BASE, spectrum) for key in keys])
    energy = s * np.mean((drawn - 0.8 / inside * t) ** 2, axis=0) / (1 - 0.64 / inside)
    expected = (1 - s * t**2 / inside) / 19  # uniform on a sphere across the teacher
    assert np.abs(energy / expected - 1).max() < 5 * np.sqrt(2 / 400)
    assert s[0] / s[-1] > 30


def test_the_noise_of_a_pilot_lies_where_fits_put_it():
    """Shares of the probe's squared margin by feature, against ridge-logistic fits by Newton.

    A control: noise of the same size, isotropic in the inputs instead, lies elsewhere.
    """
    spectrum, n, ridge = power_law(1.0, 0.0, 40), 120, 0.005
    s, t = spectrum.eigenvalues, spectrum.teacher
    with jax.enable_x64(True):
        probe = probe_of(BASE.replace(probe=f"pilot:{n / 40:g}:{ridge}"), spectrum)
    closing, rho = probe.closing, probe.alignment
    assert isinstance(closing, FreshClosing)
    mean = (rho * closing.uu + np.sqrt(1 - rho**2) * closing.up) / t
    noise = closing.uu - mean**2
    isotropic = mean**2 + np.sum(s * noise) / s.sum()
    rng, shares = np.random.default_rng(2), []
    for _ in range(150):
        x = rng.normal(size=(n, 40)) * np.sqrt(s)
        y = np.where(rng.uniform(size=n) < expit(2 * x @ t), 1, -1)
        w = np.zeros(40)
        for _ in range(12):
            p = expit(-y * (x @ w))
            hessian = (x.T * (p * (1 - p))) @ x / n + ridge * np.eye(40)
            w -= np.linalg.solve(hessian, -x.T @ (y * p) / n + ridge * w)
        shares.append(s * w**2 / np.sum(s * w**2))
    shares, off = np.stack(shares), []
    for part in (slice(0, 3), slice(3, 10), slice(10, 40)):
        each = shares[:, part].sum(1)
        error = each.std() / np.sqrt(len(each))
        assert error < 0.01
        close = 4 * error + 0.02
        assert abs(each.mean() - np.sum((s * closing.uu)[part])) < close
        off.append(abs(each.mean() - np.sum((s * isotropic)[part])) / close)
    assert max(off) > 1.5
