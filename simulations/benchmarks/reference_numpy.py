"""What a user would write: numpy sampling and scikit-learn, one BLAS thread a process.

Run as a process that reads one JSON request a line and answers with one JSON line.
"""

from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy: its default threading is several times slower here

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import numpy as np  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402


def trial(request: dict, seed: int) -> tuple[float, float]:
    """One trial: cosine to the teacher and gradient norm in the package's normalisation."""
    n, d, signal, ridge = (request[key] for key in ("n", "d", "signal", "ridge"))
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    y = np.where(rng.random(n) < 1 / (1 + np.exp(-signal * x[:, 0])), 1, -1)
    rho, kept = request["alignment"], round(request["keep_fraction"] * n)
    if kept < n:
        margin = y * (rho * x[:, 0] + np.sqrt(1 - rho**2) * x[:, 1])
        rows = np.argpartition(margin, kept)[:kept]
        x, y = x[rows], y[rows]
    model = LogisticRegression(
        C=1 / (ridge * n), fit_intercept=False, tol=request["tolerance"], max_iter=5000
    )
    theta = model.fit(x, y).coef_[0]
    gradient = -(x.T @ (y / (1 + np.exp(y * (x @ theta))))) / n + ridge * theta
    return float(theta[0] / np.linalg.norm(theta)), float(np.linalg.norm(gradient))


def main() -> None:
    """Answer requests until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        start = time.perf_counter()
        found = [trial(request, seed) for seed in request["seeds"]]
        answer = {"seconds": time.perf_counter() - start, "found": found}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
