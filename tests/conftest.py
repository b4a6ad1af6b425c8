"""Shared by all tests: quick compilation, and no programs carried through the whole run."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from nfl_pruning.experiments.compilation import cache_folder, quick_compilation

MOST_BYTES = 2**30  # of programs that are kept between runs
LONGEST = (  # files, of half a minute and more each: begun last, one would keep a worker alone
    "test_mixture_solver",
    "test_sweep",
    "test_spectrum",
    "test_optimal",
    "test_second_derivatives",
    "test_foreign_parts",
    "test_margin_fits",
    "test_best_numbers",
)


def pytest_configure(config):
    """Compile quickly in the default run, most of which is XLA's compilation, and share programs.

    The programs are the same, hardly optimised. Tests marked slow run as users run the code, and so
    do all where XLA_FLAGS is set, be it to nothing.
    """
    if hasattr(config, "workerinput"):  # inherits variables from the process that starts it
        return
    _share_programs(config)
    config.option.loadscopereorder = False  # files in the order below, not by number of tests
    if config.option.markexpr == "not slow" and "XLA_FLAGS" not in os.environ:
        quick_compilation()
        if "XLA_FLAGS" in os.environ:  # not on an accelerator
            os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"


def pytest_collection_modifyitems(items):
    """The longest files first: with few tests each, they would otherwise come last."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


def _share_programs(config):
    """Processes of this run and later runs keep compiled programs for each other.

    They are found by what they compute, so that a change of the code compiles what it changes, and
    lie in pytest's cache, which ``pytest --cache-clear`` empties. The user's own cache is left
    alone. Programs that compile within milliseconds are kept, too: there are thousands of them.
    """
    if config.pluginmanager.hasplugin("cacheprovider"):
        folder = Path(config.cache.mkdir("programs")) / cache_folder().name
        if folder.exists() and sum(f.stat().st_size for f in folder.iterdir()) > MOST_BYTES:
            shutil.rmtree(folder, ignore_errors=True)
    else:
        held = tempfile.TemporaryDirectory(prefix="nfl-pruning-", ignore_cleanup_errors=True)
        config.add_cleanup(held.cleanup)
        folder = held.name
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Tests marked optimised compute for longer than their programs take to compile well.

    A hook, not a fixture: fixtures of a module are set up before those of a test.
    """
    if item.get_closest_marker("optimised") is None:
        yield
        return
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module", autouse=True)
def few_programs():
    from nfl_pruning.numerics.programs import release_programs

    yield
    release_programs(share=0.5)
