"""The command line's contract: JSON, sweeps, tables, errors, exit codes, and reproduction."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nfl_pruning import LINKS, LOSSES, SCORES, SELECTIONS, Problem, Status, register_score, solve
from nfl_pruning.cli.main import COMMANDS, main
from nfl_pruning.experiments import compilation as cache
from nfl_pruning.statements import STATEMENTS
from shell import shell

NUMBERS = ("cosine", "norm", "test_error", "test_loss", "excess_risk", "residual", "error_estimate")
OBSERVABLES = (*NUMBERS[:5], "calibration_slope")
SMALL = ("--n-features", "30", "--n-trials", "4")


def test_solve_needs_no_option_and_prints_one_strict_object(capsys):
    ran = shell(capsys, "solve", "--json")
    assert ran.code == 0
    assert ran.err == ""
    assert ran.json["status"] == "certified"
    expected = solve(Problem())
    for name in NUMBERS:
        assert ran.json[name] == getattr(expected, name)
    assert ran.json["problem"] == Problem().describe()


def test_solve_passes_every_option_on(capsys):
    """Keep-hardest with exact calibration; the digits are from an independent quadrature."""
    ran = shell(
        capsys, *"solve --signal 2 --samples-per-feature 6 --ridge 0.008333333333333333".split(),
        *"--probe fixed:0.8 --score el2n --keep hardest --keep-fraction 0.3".split(),
        *"--protocol exact --exploit 0.6 --link logistic --loss logistic --json".split(),
    )  # fmt: skip
    assert ran.json["cosine"] == pytest.approx(0.41034111, abs=1e-7)
    assert ran.json["norm"] == pytest.approx(3.73620079, abs=1e-6)
    assert ran.json["problem"]["exploit"] == 0.6


def test_sweeps_are_nested_loops_in_the_documented_order(capsys):
    ran = shell(capsys, "solve", "--keep-fraction", "0.5,1", "--signal=1,2", "--json")
    points = [(row["problem"]["signal"], row["problem"]["keep_fraction"]) for row in ran.json]
    assert points == [(1, 0.5), (1, 1), (2, 0.5), (2, 1)]
    assert len({row["cosine"] for row in ran.json}) == 4


def test_commas_inside_a_link_do_not_sweep(capsys):
    ran = shell(capsys, "solve", "--link", "steps:0:0.05,0.95", "--json")
    assert ran.json["problem"]["link"] == "steps:0:0.05,0.95"
    assert ran.json["status"] == "certified"


def test_a_minus_sign_needs_no_equals_sign(capsys):
    apart = shell(capsys, "solve", "--signal", "-0.3")
    joined = shell(capsys, "solve", "--signal=-0.3")
    assert apart == joined
    assert apart.code == 2
    assert "-0.3" in apart.err


def test_separable_samples_have_null_norm_and_a_direction(capsys):
    ran = shell(capsys, *"solve --ridge 0 --keep-fraction 0.1 --json".split())
    assert ran.code == 0
    assert ran.json["status"] == "separable"
    assert ran.json["norm"] is None
    assert ran.json["cosine"] is None
    assert -1 <= ran.json["direction_cosine"] <= 1


@pytest.fixture
def feature_score():
    @register_score("needs-features", label_aware=False, needs=("features",))
    def needs_features(logits, labels, context):
        return context.features.sum(-1)

    yield needs_features
    del SCORES._members["needs-features"]


def test_an_unsupported_problem_is_an_answer_with_a_reason(capsys, feature_score):
    ran = shell(capsys, *"solve --score needs-features --keep-fraction 0.5 --json".split())
    assert ran.code == 0
    assert ran.json["status"] == "unsupported"
    assert "features" in ran.json["message"]
    assert all(ran.json[name] is None for name in NUMBERS)


def test_what_a_protocol_ignores_changes_nothing(capsys):
    base = shell(capsys, *"solve --protocol random --keep-fraction 0.3 --json".split()).json
    ignored = shell(
        capsys,
        *"solve --protocol random --keep-fraction 0.3 --keep easiest --exploit 0.9 --json".split(),
    ).json
    by_score = shell(capsys, *"solve --score random --keep-fraction 0.3 --json".split()).json
    assert base["cosine"] == ignored["cosine"]
    assert base["cosine"] == pytest.approx(by_score["cosine"], abs=1e-9)


@pytest.mark.parametrize(
    "arguments",
    [
        "solve",
        "solve --signal 0.5,1 --samples-per-feature 5,6 --keep-fraction 0.25,1",
        "solve --ridge 0.01,0.02 --exploit 0.1,0.2 --protocol exact --keep-fraction 0.3",
        "simulate --n-features 30 --n-trials 4 --signal 1,2 --seed 0,1",
        "simulate --n-features 30 --n-trials 4",
        "list",
    ],
)
def test_tables_fit_a_terminal_of_80_columns(capsys, arguments, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    ran = shell(capsys, *arguments.split())
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "…" not in ran.out  # nothing was cut


def test_simulate_stands_beside_theory(capsys):
    ran = shell(capsys, "simulate", *SMALL, "--seed", "3", "--json")
    found = ran.json
    assert (found["n_features"], found["n_trials"], found["seed"]) == (30, 4, 3)
    assert found["failed"] == 0
    assert found["status"] == "certified"
    for name in OBSERVABLES:
        row = found[name]
        assert set(row) == {"mean", "standard_error", "theory", "z"}
        assert row["z"] == pytest.approx((row["mean"] - row["theory"]) / row["standard_error"])
    assert found["cosine"]["theory"] == solve(Problem()).cosine


def test_simulate_sweeps_sizes_innermost(capsys):
    ran = shell(capsys, "simulate", *SMALL, "--seed", "0,1", "--signal", "1,2", "--json")
    points = [(row["problem"]["signal"], row["seed"]) for row in ran.json]
    assert points == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_no_mean_is_made_of_failed_trials(capsys):
    ran = shell(capsys, "simulate", *SMALL, "--ridge", "0", "--keep-fraction", "0.1", "--json")
    assert ran.code == 0
    assert ran.json["failed"] == 4
    assert ran.json["status"] == "separable"
    assert set(ran.json["cosine"].values()) == {None}


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_every_command_explains_itself(capsys, command):
    ran = shell(capsys, *command, "--help")
    assert ran.code == 0
    assert "--" in ran.out
    assert " ".join(["Usage: nfl-pruning", *command]) in ran.out
    if command and command[0] in ("solve", "simulate", "reproduce", "list"):
        assert "Examples:" in ran.out


def test_help_starts_without_jax():
    code = (
        "import sys; from nfl_pruning.cli.main import main\n"
        "try: main(['solve', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'jax', 'numpy', 'matplotlib', 'rich'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_list_follows_the_registries(capsys):
    found = shell(capsys, "list", "--json").json
    assert [row["name"] for row in found["scores"]] == list(SCORES)
    assert [row["name"].split(":")[0] for row in found["protocols"]] == list(SELECTIONS)
    assert [row["name"] for row in found["links"]][: len(LINKS)] == list(LINKS)
    assert [row["name"] for row in found["losses"]] == list(LOSSES)
    assert [row["name"] for row in found["statements"]] == list(STATEMENTS)
    assert list(shell(capsys, "list", "scores", "--json").json) == ["scores"]


def test_an_interrupt_leaves_with_130(capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("nfl_pruning.cli.commands.solve.problems", interrupt)
    ran = shell(capsys, "solve")
    assert (ran.code, ran.out, ran.err.strip()) == (130, "", "Interrupted.")


def test_an_unwritable_cache_folder_is_harmless(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    monkeypatch.setattr(cache, "cache_folder", lambda: occupied / "below")
    cache.use_compilation_cache()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache")
    cache.use_compilation_cache()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "cache")


SIMULATION = '''"""Toy: squares."""
NAME = "toy"

def run(preset, store, progress):
    with open(__file__ + ".log", "a") as log:
        for i in range(3):
            config = {"i": i, "preset": preset}
            if store.get(config) is None:
                log.write("computed\\n")
                store.put(config, {"square": i * i})
            progress(i + 1, 3)
'''

FIGURE = '''"""Draw the toy."""
NAME = "toy"

def draw(store, out):
    out.mkdir(parents=True, exist_ok=True)
    path = out / "toy.txt"
    path.write_text(str(sorted(record["result"]["square"] for record in store.all())))
    return [path]
'''


@pytest.fixture
def toy_checkout(tmp_path):
    for folder, text in (("simulations", SIMULATION), ("figures", FIGURE)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "toy.py").write_text(text)
    (tmp_path / "simulations" / "_helper.py").write_text("raise AssertionError")
    return tmp_path


def computed(root: Path) -> int:
    return (root / "simulations" / "toy.py.log").read_text().count("computed")


def test_reproduce_computes_draws_and_resumes(capsys, toy_checkout):
    arguments = ("reproduce", "--root", str(toy_checkout))
    ran = shell(capsys, *arguments)
    assert ran.code == 0
    assert (toy_checkout / "figures/output/toy.txt").read_text() == "[0, 1, 4]"
    manifest = json.loads((toy_checkout / "figures/output/manifest.json").read_text())
    assert manifest["toy"]["files"] == ["figures/output/toy.txt"]
    assert manifest["toy"]["script"] == "figures/toy.py"
    assert manifest["toy"]["simulation"] == "simulations/toy.py"
    assert len(manifest["toy"]["records"]) == 3
    assert computed(toy_checkout) == 3
    next((toy_checkout / "simulations/records/quick/toy").glob("*.json")).unlink()
    shell(capsys, *arguments, "--only", "toy")
    assert computed(toy_checkout) == 4
    again = json.loads((toy_checkout / "figures/output/manifest.json").read_text())
    assert again == manifest
    shell(capsys, *arguments, "--fresh")
    assert computed(toy_checkout) == 7


def test_reproduce_does_the_same_in_processes(capsys, toy_checkout):
    for folder in ("simulations", "figures"):
        text = (toy_checkout / folder / "toy.py").read_text()
        (toy_checkout / folder / "twin.py").write_text(text.replace("toy.txt", "twin.txt"))
    ran = shell(capsys, "reproduce", "--root", str(toy_checkout), "--jobs", "2")
    assert ran.code == 0 and ran.out.index(" toy ") < ran.out.index(" twin ")
    manifest = json.loads((toy_checkout / "figures/output/manifest.json").read_text())
    assert manifest["toy"]["records"] == manifest["twin"]["records"]
    assert manifest["twin"]["files"] == ["figures/output/twin.txt"]
    (toy_checkout / "figures" / "twin.py").write_text("raise OSError('no ink')\n")
    ran = shell(capsys, "reproduce", "--root", str(toy_checkout), "--jobs", "2")
    assert ran.code != 0 and "no ink" in ran.err


def test_reproduce_goes_on_where_the_first_figure_has_nothing_to_draw(capsys, toy_checkout):
    (toy_checkout / "figures" / "toy.py").write_text("def draw(store, out):\n    return []\n")
    assert shell(capsys, "reproduce", "--root", str(toy_checkout)).code == 0
    manifest = json.loads((toy_checkout / "figures/output/manifest.json").read_text())
    assert manifest["toy"]["files"] == []


def test_reproduce_says_what_is_no_checkout(capsys, tmp_path, toy_checkout):
    ran = shell(capsys, "reproduce", "--root", str(tmp_path / "nowhere"))
    assert ran.code == 2
    assert "root" in ran.err
    ran = shell(capsys, "reproduce", "--root", str(toy_checkout), "--only", "tot")
    assert ran.code == 2
    assert "nearest: toy" in ran.err
    assert not (toy_checkout / "figures" / "output").exists()


def test_statuses_are_documented():
    texts = {status.value for status in Status}
    assert texts == {
        "certified", "not-certified", "separable", "not-separable", "no-solution", "unsupported",
    }  # fmt: skip
    assert all(status.sentence.endswith(".") for status in Status)


def test_from_a_shell_in_another_folder(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "nfl_pruning", "solve", "--keep-fraction", "0.3", "--json"],
        capture_output=True, text=True, cwd=tmp_path, check=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert math.isfinite(json.loads(ran.stdout)["cosine"])
    assert list(tmp_path.iterdir()) == []


def test_the_entry_point_is_the_group():
    assert callable(main)
    assert set(COMMANDS) >= {"solve", "simulate", "prune", "reproduce", "list"}
