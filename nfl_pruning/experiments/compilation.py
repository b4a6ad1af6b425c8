"""Compilation, much of a short command's time: programs are kept, and made quickly where asked."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

QUICK_FLAGS = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1"


def quick_compilation() -> None:
    """Let XLA optimise less, in this process and those it starts, before JAX is first used.

    Programs compile sooner, and some run more slowly, as those of long sweeps do. Does nothing
    where the user has set XLA_FLAGS, where there is an accelerator, and where XLA does not know
    the flags.
    """
    if "XLA_FLAGS" in os.environ:
        return
    # XLA ends a process that asks for a flag it does not know: another process finds out
    ask = [sys.executable, "-c", "import jax; print(jax.default_backend())"]
    flags = {"XLA_FLAGS": QUICK_FLAGS}
    told = subprocess.run(ask, env=os.environ | flags, capture_output=True, text=True, check=False)
    if told.returncode == 0 and told.stdout.split()[-1:] == ["cpu"]:
        os.environ.update(flags)


def use_compilation_cache() -> None:
    """Let JAX keep compiled programs in the user's cache folder; does nothing where it cannot.

    Works through JAX's environment variables, so that JAX itself need not be imported yet, and
    leaves alone what the user has set.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


def cache_folder() -> Path:
    """One folder a JAX version and processor: compiled code may not suit another processor."""
    from platformdirs import user_cache_path

    processor = hashlib.sha256(_processor().encode()).hexdigest()[:8]
    name = f"jax-{version('jax')}-{processor}"
    return user_cache_path("nfl-pruning", appauthor=False) / name


def _processor() -> str:
    """A text that differs between processors with different instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(
            sorted({line for line in lines if line.startswith(("model name", "flags"))})
        )
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
