"""Names print as they are, on any terminal; what JAX lacks is said in a sentence."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from nfl_pruning.cli.main import main

RNG = np.random.default_rng(0)
NAMES = ["[/red]", "[bold]x", ":smile:", "naïve ☃", "a\\[b]"]


@pytest.fixture
def path(tmp_path):
    y = np.array(NAMES)[np.arange(60) % 5]
    place = tmp_path / "[bold]é[red].npz"
    np.savez(place, x=RNG.normal(size=(60, 3)), y=y)
    return place


def run(*arguments):
    return CliRunner().invoke(main, [str(part) for part in arguments])


def test_names_print_as_they_are(path, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shown = run("prune", path, "--keep-fraction", 0.5)
    assert shown.exit_code == 0, shown.output
    for name in (*NAMES, "[bold]é[red]"):
        assert name in shown.output
    for line in (["train", path], ["score", path, "--score", "loss"]):
        assert run(*line, "--model", "logistic", "--epochs", 1).exit_code == 0
    refused = run("prune", path.parent / "[/b].npz")
    assert refused.exit_code == 2 and "[/b].npz" in refused.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_any_terminal(path, tmp_path, encoding, form):
    out = tmp_path / "s.npz"
    line = ["prune", str(path), "--out", str(out), "--protocol", "random"]
    line += ["--json"] * (form == "json")
    ran = CliRunner(charset=encoding).invoke(main, line)
    assert ran.exit_code == 0, ran.stderr
    assert out.exists()
    if form == "json":
        found = json.loads(ran.stdout_bytes.decode(encoding))
        assert set(found["keep_fraction_by_class"]) == set(NAMES)
    else:
        assert b"[/red]" in ran.stdout_bytes
        assert (b"\\xe9" in ran.stdout_bytes) == (encoding == "ascii")


def test_a_process_of_its_own_prints_on_such_a_terminal(path):
    line = ["prune", str(path), "--protocol", "random"]
    code = f"from nfl_pruning.cli.main import main; main({line!r})"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert b"[/red]" in ran.stdout and b"\\xe9" in ran.stdout


@pytest.mark.parametrize("platform", ["cuda", "no-such-thing"])
def test_a_device_that_is_not_there(path, platform, tmp_path):
    code = f"from nfl_pruning.cli.main import main; main({['prune', str(path)]!r})"
    environment = os.environ | {"JAX_PLATFORMS": platform, "XDG_CACHE_HOME": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, text=True
    )
    if platform == "cuda" and ran.returncode == 0:
        pytest.skip("there is one")
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith("Error: JAX cannot use")
    assert platform in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("command", ["prune", "score", "train", "compare"])
def test_no_rows(command, tmp_path):
    np.savez(tmp_path / "none.npz", x=np.zeros((0, 4)), y=np.zeros(0, int))
    refused = run(command, tmp_path / "none.npz")
    assert refused.exit_code == 2 and "at least 2 samples" in refused.stderr
    (tmp_path / "none.csv").write_text("a,label\n")
    assert run(command, tmp_path / "none.csv").exit_code == 2
