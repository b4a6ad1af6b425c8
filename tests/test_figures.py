"""The figure scripts draw what their simulations record, and the drawn theory is right."""

from __future__ import annotations

import numpy as np
import pytest

from generated import ROOT
from nfl_pruning.experiments.scripts import experiments, load
from nfl_pruning.records import RecordStore

EXPERIMENTS = {found.name: found for found in experiments(ROOT)}
OBSERVABLES = ("cosine", "test_error", "excess_risk", "norm")


def loaded(name: str):
    return load(EXPERIMENTS[name].simulation)


def bin_z_scores(theory: dict, trials: dict, kind: str, edges: np.ndarray) -> np.ndarray:
    """z-scores of a histogram against the theory's mean over each bin."""
    cumulative = np.concatenate(
        [[0.0], np.cumsum(0.5 * np.diff(theory["t"]) * (theory[kind][1:] + theory[kind][:-1]))]
    )
    expected = np.diff(np.interp(edges, theory["t"], cumulative)) / np.diff(edges)
    seen = (trials[f"{kind}_error"] > 0) & (expected * np.diff(edges) > 0.01)
    return ((trials[kind] - expected) / np.where(seen, trials[f"{kind}_error"], 1))[seen]


@pytest.fixture(scope="module")
def shift():
    script = loaded("distribution_shift")
    problems = {law: script.problem_of(choice, 0.3, 5.0) for law, choice in script.LAWS.items()}
    found = {law: script.histogram(problem, 1500, 25) for law, problem in problems.items()}
    return script, {law: script.density(problem) for law, problem in problems.items()}, found


def test_kept_laws_are_densities(shift):
    _, theory, _ = shift
    for found in theory.values():
        for kind in ("all", "kept", "weighted"):
            assert np.trapezoid(found[kind], found["t"]) == pytest.approx(1, abs=2e-3)


def test_calibration_gives_the_data_law_back(shift):
    """E[S omega f] = E[f] for every f, so the weighted law of kept samples is the data's."""
    _, theory, _ = shift
    exact = theory["exact"]
    np.testing.assert_allclose(exact["weighted"], exact["all"], atol=1e-12)
    assert np.abs(exact["kept"] - exact["all"]).max() > 0.05


@pytest.mark.parametrize("kind", ["kept", "weighted"])
def test_selected_samples_follow_the_kept_law(shift, kind):
    script, theory, trials = shift
    scores = {law: bin_z_scores(theory[law], trials[law], kind, script.EDGES) for law in theory}
    together = np.concatenate(list(scores.values()))
    assert len(together) > 80
    assert np.abs(together).max() < 5
    assert 0.6 < np.sqrt(np.mean(together**2)) < 1.4


def test_another_rules_law_does_not_fit(shift):
    """Control: swapping hardest for easiest, or aware for agnostic, is noticed."""
    script, theory, trials = shift
    for ours, other in (
        ("aware-hardest", "aware-easiest"),
        ("agnostic-hardest", "aware-hardest"),
        ("agnostic-easiest", "random"),
    ):
        wrong = bin_z_scores(theory[other], trials[ours], "kept", script.EDGES)
        assert np.sqrt(np.mean(wrong**2)) > 3


@pytest.mark.parametrize("preset", ["quick", "paper"])
@pytest.mark.parametrize("name", ["no_free_lunch", "calibration"])
def test_curves_draw_from_their_records(name, preset, tmp_path):
    """Made-up numbers under every configuration of the grid: the figure finds all it needs."""
    jobs = loaded(name).jobs(preset)
    store = RecordStore(tmp_path / "records")
    theory: dict[str, float] = dict.fromkeys(OBSERVABLES, 0.3)
    trials = {key: {"mean": 0.3, "standard_error": 0.01} for key in OBSERVABLES}
    configs = [job.config for job in jobs]
    assert len({store.path(config) for config in configs}) == len(configs)
    if preset == "quick":
        for config in configs:
            store.put(config, theory if config["kind"] == "theory" else trials)
        written = load(EXPERIMENTS[name].figure).draw(store, tmp_path / "out")
        assert [path.suffix for path in written] == [".pdf", ".png"]
        assert all(path.stat().st_size > 5000 for path in written)
