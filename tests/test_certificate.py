"""The certificate's draw, and the plain method that solves its problems again."""

import importlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from nfl_pruning import Problem, Status, make_selection, solve
from nfl_pruning.theory.sweep import Batch

BENCHMARKS = Path(__file__).parents[1] / "simulations" / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def benchmarks():
    """Scripts import one another by name."""
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def script(name):
    return importlib.import_module(name)


def test_draw_covers_every_stratum_and_keeps_its_streams_apart():
    certificate = script("certificate")
    compiled, general, draw = (
        script("_problems").COMPILED,
        script("_problems").SINGLY,
        certificate.draw,
    )
    slow = draw(len(general), 0, 1.0)
    losses = Counter((p.student.loss.name, p.student.ridge == 0) for p in slow)
    assert (
        losses[("hinge", False)] == losses[("hinge", True)] == losses[("max-margin", False)] == 72
    )
    protocols = Counter(p.selection.name for p in slow)
    assert protocols["power"] == protocols["window"] == 60
    assert draw(len(compiled), 0) == draw(200, 0, 0.4)[: len(compiled)]
    assert draw(200, 0, 0.4)[120:] == slow[:80]


def small(protocol, probe="fixed:0.7", loss="hinge", **changes):
    selection = make_selection(protocol, exploit=0.6)
    numbers = {"samples_per_feature": 3.0, "keep_fraction": 0.4, "signal": 2.0, "ridge": 0.02}
    choice = {"score": "margin", "probe": probe, "selection": selection, "loss": loss}
    return Problem().replace(**(choice | numbers | changes))


IN_SAMPLE = pytest.param("in-sample:0.05", marks=pytest.mark.slow)


@pytest.mark.parametrize("probe", ["fixed:0.7", IN_SAMPLE])
@pytest.mark.parametrize("protocol", ["power:1.2", "power:-0.8", "window:0.25", "exact"])
def test_plain_rules_keep_the_fraction(protocol, probe):
    plain = script("reference_probe")
    problem = small(protocol, probe)
    found = plain.probe_of(problem)
    rule = script("reference_rules").rule_of(problem, found)
    u, weight = plain.gauss(np.unique([*np.linspace(-8.3, 8.3, 200), *rule.cuts]))
    chance = 2 * plain.smoothed(2.0, np.sqrt(1 - found.rho**2), 8.3)[0](found.rho * u)
    assert np.sum(weight * chance * rule.keep(u)) == pytest.approx(0.4, abs=1e-10)


def test_plain_existence_is_the_published_threshold():
    problem, probe = (
        small("random").replace(keep_fraction=1.0),
        script("reference_probe").Probe(0.5),
    )
    rule = script("reference_rules").rule_of(problem, probe)
    value = script("reference_existence").needed(problem, probe, rule)
    assert value == pytest.approx(0.3449301284, abs=2e-10)


MUCH: dict[str, Any] = {"samples_per_feature": 700.0, "keep_fraction": 0.009, "signal": 9.0}


def claim(solution):
    numbers = {name: getattr(solution, name) for name in ("cosine", "norm", "test_error")}
    names = ("a_u", "a_p", "tau", "kappa", "chi", "nu")
    return {"problem": 0} | numbers | {name: solution.state.get(name) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize(
    "problem",
    [
        small("threshold"),
        small("exact", "in-sample:0.05"),
        small("window:0.25", "pilot:3:0.05", "max-margin"),
        small("power:1.2", "in-sample:0.05", "squared"),
        small("power:-0.8", "in-sample:0.05", "max-margin"),
        small("window:0.3", "fixed:-0.5", "max-margin", keep="easiest", **MUCH),
        small("threshold", "fixed:0.4", ridge=0, **MUCH),
    ],
    ids=lambda p: f"{p.student.loss.name}-{p.selection.label}-{p.probe.label}",
)
def test_plain_method_confirms_and_refutes(problem, monkeypatch):
    """A right claim is found again; one that is wrong by some 1e-7 is not."""
    recheck = script("recheck")
    monkeypatch.setattr(recheck, "NODES", {"rough": recheck.NODES["rough"]})
    right = claim(solve(problem))
    found = recheck.compare(problem, right)
    assert found["residual"] < 1e-9 and found["difference"] < 1e-9
    for name, factor in (("cosine", 1 - 1e-6), ("norm", 1 + 3e-7)):
        wrong = right | {name: factor * (right[name] or np.nan)}
        other = {"problem": 0} | recheck.compare(problem, wrong)
        assert recheck.summary([other])["wrong"] == 1


def test_plain_method_tells_where_no_hard_margin_exists():
    recheck = script("recheck")
    many, few = (small("window:0.25", samples_per_feature=spf) for spf in (30.0, 2.0))
    excess = [recheck.no_fit(problem)["excess"] for problem in (many, few)]
    assert excess[0] > 0 > excess[1]
    found = [{"problem": 0, "excess": value} for value in excess]
    assert recheck.summary_without(found)["wrong"] == 1


class Solver:
    """Stands in for ``solve_many``: numbers made from the problems', stops when told to."""

    def __init__(self, module, stop=np.inf):
        self.module, self.stop, self.parts = module, stop, 0

    def __call__(self, problems, *, progress):
        if self.parts == self.stop:
            raise KeyboardInterrupt
        self.parts += 1
        progress(len(problems), len(problems))
        ridge = np.array([problem.student.ridge for problem in problems])
        certified = ridge > 1e-4
        values = dict.fromkeys((*self.module.OBSERVED, *self.module.STATE), 1 / 3 + ridge)
        values["error_estimate"] = np.where(certified, 1e-9 * ridge, np.nan)
        status = np.empty(len(problems), object)
        status[:] = Status.SEPARABLE
        status[certified] = Status.CERTIFIED
        return Batch(problems, status, values)


def test_certificate_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """Parts that are recorded are not solved again, and the results are the same."""
    certificate = script("certificate")

    def run(solver, folder, *more):
        monkeypatch.setattr(certificate, "solve_many", solver)
        out = tmp_path / "found.json"
        arguments = ["--count", "400", "--share", "0.5", "--records", str(tmp_path / folder)]
        ran = CliRunner().invoke(certificate.main, [*arguments, "--out", str(out), *more])
        return ran, json.loads(out.read_text(encoding="utf-8"))

    whole, expected = run(Solver(certificate), "whole")
    assert whole.exit_code == 0 and expected["problems done"] == 400
    assert 0 < expected["a fit exists"] < 400 and len(expected["no fit"]) > 0
    stopped, half = run(Solver(certificate, stop=3), "halves")
    assert stopped.exit_code != 0 and len(half["kinds"]) == 3
    share = Solver(certificate)
    run(share, "halves", "--only", "hinge", "--only", "squared, in-sample")
    rest = Solver(certificate)
    _, found = run(rest, "halves")
    assert 3 + share.parts + rest.parts == len(expected["kinds"]) and share.parts and rest.parts
    for results in (expected, found):
        del results["provenance"], results["seconds, compilation included"]
        for part in results["kinds"].values():
            del part["seconds"]
    assert found == expected
    refused, _ = run(rest, "halves", "--only", "nothing")
    assert refused.exit_code == 2 and "got nothing" in refused.output


def test_the_draw_reaches_the_ends_of_the_ranges():
    """Little kept, steep rules, small exploited shares, any norm, a score of one's own."""
    certificate = script("certificate")
    plain, more = certificate.draw(100, 0, 0.2), certificate.draw(1000, 0, 0.1, 0.5)
    assert plain[:40] == certificate.draw(100, 0, 0.2, 0.4)[:40]  # no share moves the others
    far = more[400:900]
    assert min(p.keep_fraction for p in far) < 1.2e-3
    assert min(getattr(p.selection, "exploit", 1) for p in far) < 1.5e-3
    powers = [p.selection.exponent for p in far if p.selection.name == "power"]
    assert min(powers) < -50 and max(powers) > 50
    norms = [p.probe_norm for p in far if p.probe.label.startswith("fixed")]
    assert min(norms) < 0.1 and max(norms) > 40
    assert {p.score.name for p in far} == {"el2n", "entropy", "off-band"}
    names = certificate.kinds(more, 0.1, 0.5)
    assert sum(len(v) for k, v in names.items() if k.startswith("far")) == 500
