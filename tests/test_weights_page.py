"""The page on weights: each library's example runs, where that library is installed."""

import importlib.util
import os
import re
from pathlib import Path

import numpy as np
import pytest

from nfl_pruning.adapters import NORMALISATIONS, kept_weights
from nfl_pruning.data import make_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.run import prune

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "weights.md"
START, *PARTS = PAGE.read_text().split("\n## ")
NEEDS = {
    "scikit-learn": ("sklearn",),
    "PyTorch": ("torch",),
    "Keras": ("keras",),
    "LightGBM": ("lightgbm",),
    "XGBoost": ("xgboost",),
    "Hugging Face Trainer": ("datasets", "torch", "transformers", "accelerate"),
}


def blocks(text):
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))


@pytest.mark.parametrize("part", PARTS, ids=[part.split("\n")[0] for part in PARTS])
def test_examples_run(part, monkeypatch, tmp_path):
    library = part.split("\n")[0]
    missing = [name for name in NEEDS[library] if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} is not installed here.")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "jax")
    scope = {}
    exec(blocks(START), scope)
    exec(blocks(part), scope)
    assert scope["model" if "model" in scope else "trainer"] is not None


def test_weights_reach_the_model():
    scope = {}
    exec(blocks(START), scope)
    part = next(part for part in PARTS if part.startswith("scikit-learn"))
    exec(blocks(part), scope)
    weighted = scope["model"].coef_.copy()
    exec(blocks(part).replace(", sample_weight=weights", ""), scope)
    assert np.abs(weighted - scope["model"].coef_).max() > 1e-3


def test_normalisations_are_what_they_state():
    rng = np.random.default_rng(0)
    data = make_dataset("mine", rng.normal(size=(50, 2)), np.arange(50) % 2)
    for rule in ("exact", "threshold", "soft:0.5"):
        pruned = prune(data, seed=0, keep_fraction=0.3, selection=rule)
        np.testing.assert_allclose(kept_weights(pruned, "sum-n").sum(), 50)
        np.testing.assert_allclose(kept_weights(pruned, "mean-one").mean(), 1)
        own = kept_weights(pruned, "as-is")
        np.testing.assert_array_equal(own, pruned.weights[pruned.indices])
    assert set(NORMALISATIONS) == {"as-is", "sum-n", "mean-one"}
    with pytest.raises(InvalidArgumentError, match="mean-one"):
        kept_weights(pruned, "mean-on")
