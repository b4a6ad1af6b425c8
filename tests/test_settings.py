"""Public functions work under the settings of JAX that users set to find faults of their own."""

from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nfl_pruning import (
    SCORES,
    Context,
    Problem,
    existence_threshold,
    limit_function,
    limit_values,
    optimal_rule,
    power_law,
    select,
    simulate,
    solve,
    sweep,
)
from nfl_pruning.data import make_dataset
from nfl_pruning.pruning.run import prune
from shell import shell

GUARD = "jax_transfer_guard"
PROMOTIONS = {"jax_numpy_rank_promotion": "raise", "jax_numpy_dtype_promotion": "strict"}
TRANSFERS = {GUARD: "disallow"}
RNG = np.random.default_rng(0)
LOGITS, LABELS = RNG.normal(size=(40, 3)), RNG.integers(0, 3, 40)
CODES = np.arange(90) % 3
BLOBS = make_dataset("blobs", RNG.normal(size=(90, 4)) + 2 * np.eye(3, 4)[CODES], CODES)
CONTEXT = Context(
    input_norm=np.ones(40),
    features=LOGITS,
    gradient_norm=np.ones(40),
    trajectory=RNG.normal(size=(40, 5, 3)),
    gap_gradient=np.ones((40, 3)),
    prototypes=LOGITS[:2],
    inputs=LOGITS,
)
PROBLEM = Problem(keep_fraction=0.5, probe="fixed:0.8").replace(ridge=0.1)


KEY = jax.random.key(0)


@contextmanager
def under(settings):
    """The settings, which the code must leave as they are."""
    before = {name: getattr(jax.config, name) for name in settings}
    try:
        for name, value in settings.items():
            jax.config.update(name, value)
        yield
        assert {name: getattr(jax.config, name) for name in settings} == settings
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def slope(function):
    """The function, and the trace of its derivative: what the settings forbid shows in either.

    Not under the guard, which stops JAX's own grad.
    """
    with jax.enable_x64(True):
        function(0.3)
        if getattr(jax.config, GUARD) != "disallow":
            jax.eval_shape(jax.grad(function), 0.3)


CALLS = {
    "select": lambda: [
        select(KEY, LOGITS[:, 0], 0.3, selection=rule).weights
        for rule in ("threshold", "exact", "soft:0.5", "power:1", "window:0.1", "coverage:0.1")
    ],
    "scores": lambda: [score(LOGITS, LABELS, CONTEXT) for score in SCORES.values()],
    "prune": lambda: prune(BLOBS, seed=0).weights,
    "prune by class": lambda: prune(BLOBS, seed=0, balance="equal").weights,
    "solve": lambda: solve(PROBLEM).cosine,
    "in-sample": lambda: solve(PROBLEM.replace(probe="in-sample:0.1")).cosine,
    "existence": lambda: existence_threshold(PROBLEM),
    "sweep": lambda: sweep(PROBLEM, keep_fraction=[0.3, 0.6])["cosine"],
    "spectrum": lambda: solve(PROBLEM.replace(inputs=power_law(1.0, 1.0, 20))).cosine,
    "abundant": lambda: solve(PROBLEM, limit="abundant"),
    "optimal": lambda: optimal_rule(PROBLEM),
    "simulate": lambda: simulate(PROBLEM, n_features=20, n_trials=2, seed=0).mean("cosine"),
    "limit_function": lambda: slope(lambda r: limit_function(PROBLEM)(keep_fraction=r).cosine),
    "limit_values": lambda: slope(lambda r: limit_values(PROBLEM, {"keep_fraction": r})["cosine"]),
}


LONG = ("in-sample", "existence", "spectrum", "abundant", "optimal", "limit_values", "simulate")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in CALLS]
)
@pytest.mark.parametrize("settings", [PROMOTIONS, TRANSFERS], ids=["promotions", "transfers"])
def test_the_users_settings_are_borne(settings, name):
    with under(settings):
        CALLS[name]()


def test_settings_that_are_not_borne_are_noticed():
    """The control: what each setting forbids fails under it."""
    for forbidden in (lambda: jnp.ones((2, 1)) + jnp.ones(2), lambda: jnp.ones(2) + jnp.arange(2)):
        with under(PROMOTIONS), pytest.raises((ValueError, TypeError)):
            forbidden()
    with under(TRANSFERS), pytest.raises(Exception, match="transfer"):
        _ = jnp.ones(2) + np.ones(2)


@pytest.mark.parametrize("command", ["prune", "score", "train", "compare"])
def test_the_commands_bear_them(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    np.savez(tmp_path / "d.npz", x=BLOBS.x, y=BLOBS.y)
    line = {
        "prune": [],
        "score": ["--score", "grand", "--epoch", "2", "--models", "2"],
        "train": ["--models", "2", "--test-data", str(tmp_path / "d.npz")],
        "compare": ["--repeats", "3", "--keep-fraction", "0.2,0.6"],
    }[command]
    if command != "prune":
        line += ["--epochs", "3", "--batch-size", "16", "--model", "logistic"]
    with under(PROMOTIONS | TRANSFERS):
        ran = shell(capsys, command, str(tmp_path / "d.npz"), *line)
    assert ran.code == 0, ran.err
