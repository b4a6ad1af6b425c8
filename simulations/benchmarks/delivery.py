"""How long, and with how much memory, a large mapped file is loaded and pruned by given scores.

``python simulations/benchmarks/delivery.py`` writes a million rows of 64 float32 to a temporary
folder, starts a fresh process that loads and prunes them, and prints its seconds and the memory
that it took above its start, the file's own mapping left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS, WIDTH = 1_000_000, 64


def anonymous() -> float:
    """Memory of this process that no file backs, in GiB: now, from the kernel's own count."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 2**20


def measure(folder: Path) -> None:
    """Load, prune, and print seconds and memory."""
    import threading

    from nfl_pruning.data import load_dataset
    from nfl_pruning.pruning.run import prune

    scores, labels = np.load(folder / "scores.npy"), np.load(folder / "labels.npy")
    before, peak, running = anonymous(), [0.0], [True]

    def watch() -> None:
        while running[0]:
            peak[0] = max(peak[0], anonymous())
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    dataset = load_dataset(folder / "x.npy", label=labels)
    loaded = time.perf_counter()
    pruned = prune(dataset, seed=0, scores=scores, keep_fraction=0.3)
    end = time.perf_counter()
    running[0] = False
    watcher.join()
    print(
        f"loading {loaded - start:.1f} s, pruning {end - loaded:.1f} s, {len(pruned.indices)} kept"
    )
    print(f"peak above the start: {peak[0] - before:.2f} GiB (without the mapping)")


def main() -> None:
    """Write the files and start the measurement."""
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder, rng = Path(name), np.random.default_rng(0)
        out = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (ROWS, WIDTH))
        for start in range(0, ROWS, 50_000):
            out[start : start + 50_000] = rng.normal(size=(50_000, WIDTH))
        out.flush()
        np.save(folder / "labels.npy", rng.integers(0, 10, ROWS))
        np.save(folder / "scores.npy", rng.normal(size=ROWS))
        subprocess.run([sys.executable, __file__, name], check=True, env=os.environ)


if __name__ == "__main__":
    main()
