"""Shared by all tests: quick compilation, and no programs carried through the whole run."""

import os
import tempfile

import pytest

from nfl_pruning.experiments.compilation import quick_compilation


def pytest_configure(config):
    """Compile quickly in the default run, most of which is XLA's compilation, and share programs.

    The programs are the same, less optimised. Tests marked slow run as users run the code, and so
    do all where XLA_FLAGS is set, be it to nothing.
    """
    if hasattr(config, "workerinput"):  # inherits variables from the process that starts it
        return
    _share_programs(config)
    if config.option.markexpr == "not slow":
        quick_compilation()


def _share_programs(config):
    """Processes of this run keep compiled programs for each other, and leave the user's alone."""
    folder = tempfile.TemporaryDirectory(prefix="nfl-pruning-programs-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"


@pytest.fixture(scope="module", autouse=True)
def few_programs():
    from nfl_pruning.numerics.programs import release_programs

    yield
    release_programs(share=0.25)
