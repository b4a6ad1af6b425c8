"""``nfl-pruning solve`` in its other limits."""

import pytest

from nfl_pruning import FixedProbe, Problem, power_law, simulate, solve
from shell import shell

COMMON = ["solve", "--signal", "2", "--probe", "fixed:0.8", "--keep-fraction", "0.6"]
PROBLEM = Problem(keep_fraction=0.6, probe=FixedProbe(0.8)).replace(signal=2.0)


def test_abundant_json_is_the_solver_s_answer(capsys):
    found = shell(capsys, *COMMON, "--abundant", "--json").json
    expected = solve(PROBLEM, limit="abundant")
    assert found["cosine"] == expected.cosine and found["excess_risk"] == expected.excess_risk
    assert found["radius"] == 100 and found["n_features"] is None


def test_separable_samples_print_no_norm(capsys):
    shown = shell(capsys, *COMMON[:-1], "0.1", "--abundant").out
    assert "separable" in shown and "cosine on the ball's boundary" in shown
    line = next(line for line in shown.splitlines() if line.strip().startswith("norm"))
    assert line.split()[-1] == "–"


def test_spectrum_json_is_the_solver_s_answer(capsys):
    found = shell(capsys, *COMMON, "--spectrum", "power:1:1.5:40", "--json").json
    expected = solve(PROBLEM.replace(inputs=power_law(1, 1.5, 40)))
    assert found["cosine"] == expected.cosine and found["spectrum"] == "power:1:1.5:40"


def test_trials_of_a_spectrum_stand_beside_its_limit(capsys):
    arguments = ["simulate", *COMMON[1:], "--spectrum", "power:1:1.5:40", "--n-trials", "6"]
    found = shell(capsys, *arguments, "--json").json
    expected = solve(PROBLEM.replace(inputs=power_law(1, 1.5, 40)))
    trials = simulate(PROBLEM.replace(inputs=power_law(1, 1.5, 40)), n_trials=6)
    assert found["n_features"] == 40 and found["law"] == "power:1:1.5:40"
    assert found["cosine"]["theory"] == expected.cosine
    assert found["cosine"]["mean"] == trials.mean("cosine")
    shown = shell(capsys, *arguments, "--keep-fraction", "0.4,0.6").out
    assert "power:1" in shell(capsys, *arguments).out and shown.count("±") == 4


@pytest.mark.parametrize(
    "arguments", [["--n-features", "9"], ["--law", "heavy-tails:5"], ["--memory", "1GiB"]]
)
def test_what_trials_of_a_spectrum_do_not_take(capsys, arguments):
    found = shell(capsys, "simulate", "--spectrum", "power:1:1.5:40", *arguments)
    assert found.code == 2 and "cannot go with --spectrum" in found.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--n-features", "5"], "--n-features needs --abundant"),
        (["--outside", "0.1"], "--outside needs --spectrum"),
        (["--abundant", "--spectrum", "power:1:1:10"], "cannot go with"),
        (["--abundant", "--n-features", "2"], "n_features"),
        (["--abundant", "--radius", "-1"], "radius"),
        (["--spectrum", "power:1"], "spectrum must"),
    ],
)
def test_bad_options_end_in_a_sentence(capsys, arguments, word):
    found = shell(capsys, *COMMON, *arguments)
    assert found.code == 2 and word in found.err and not found.out
