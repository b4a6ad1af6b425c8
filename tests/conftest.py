"""Shared by all tests: quick compilation, and no programs carried through the whole run."""

import os
import subprocess
import sys
import tempfile

import pytest

QUICK_COMPILATION = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1"


def pytest_configure(config):
    """Compile quickly in the default run, most of which is XLA's compilation, and share programs.

    The programs are the same, less optimised. Tests marked slow run as users run the code, and so
    do all where XLA_FLAGS is set, be it to nothing.
    """
    if hasattr(config, "workerinput"):  # inherits variables from the process that starts it
        return
    _share_programs(config)
    if "XLA_FLAGS" in os.environ or config.option.markexpr != "not slow":
        return
    flags = {"XLA_FLAGS": QUICK_COMPILATION}
    # XLA ends a process that asks for a flag it does not know: another process finds out
    start = [sys.executable, "-c", "import jax; jax.devices('cpu')"]
    if subprocess.run(start, env=os.environ | flags, capture_output=True, check=False).returncode:
        return
    os.environ.update(flags)


def _share_programs(config):
    """Processes of this run keep compiled programs for each other, and leave the user's alone."""
    folder = tempfile.TemporaryDirectory(prefix="nfl-pruning-programs-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"


@pytest.fixture(scope="module", autouse=True)
def few_programs():
    from nfl_pruning.programs import release_programs

    yield
    release_programs(share=0.25)
