"""The memory budget is kept: peak resident memory of a process, above that after importing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import json, sys
from pathlib import Path
import jax
import nfl_pruning.montecarlo
from nfl_pruning import FixedProbe, Problem, simulate

def resident(entry):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(entry))

features, trials, memory = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
jax.devices()
before = resident("VmRSS")
problem = Problem(samples_per_feature=10, probe=FixedProbe(0.8)).replace(signal=2.0)
budget = None if memory == "none" else memory
found = simulate(problem, n_features=features, n_trials=trials, memory=budget)
print(json.dumps([resident("VmHWM") - before, found.failed, found.n_trials]))
"""


def peak(features: int, trials: int, memory: str) -> int:
    """Bytes above those after importing, in a process of its own."""
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(features), str(trials), memory],
        env=os.environ | {"PYTHONPATH": root, "JAX_PLATFORMS": "cpu"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    most, failed, finished = json.loads(done.stdout.splitlines()[-1])
    assert (failed, finished) == (0, trials)
    return most


linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")


@linux
@pytest.mark.slow
def test_a_budget_of_one_gibibyte_holds_for_20000_samples_of_2000_features():
    most = peak(2000, 64, "1GiB")
    print(f"peak {most / 2**20:.0f} MiB")
    assert most < 2**30


@linux
@pytest.mark.slow
def test_a_budget_is_kept_by_drawing_again_and_exceeded_without_one():
    """The rows of one trial alone are 343 MiB: control, without a budget they are all there."""
    budget = 450 * 2**20
    assert peak(3000, 1, "450MiB") < budget
    assert peak(3000, 1, "none") > budget
