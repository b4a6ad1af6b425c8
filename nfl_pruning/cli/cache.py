"""Compiled programs are kept between runs of the command line, and only there."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path


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
    if sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    processor = hashlib.sha256(_processor().encode()).hexdigest()[:8]
    return root / "nfl-pruning" / f"jax-{version('jax')}-{processor}"


def _processor() -> str:
    """A text that differs between processors with different instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(
            sorted({line for line in lines if line.startswith(("model name", "flags"))})
        )
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
