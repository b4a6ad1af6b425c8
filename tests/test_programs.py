import jax
import jax.numpy as jnp
import pytest

from nfl_pruning import Problem, simulate, sweep
from nfl_pruning.numerics import programs


def maps_in_use():
    return programs.MAPS.read_bytes().count(b"\n")


def test_programs_are_dropped_past_the_share_and_only_then():
    assert not programs.release_programs(share=1.0)
    functions = [jax.jit(lambda x, k=k: jnp.sin(k * x).sum()) for k in range(30)]
    for function in functions:
        function(jnp.ones(3))
    before = maps_in_use()
    assert programs.release_programs(share=0.0)
    assert maps_in_use() < before
    assert functions[2](jnp.zeros(3)) == 0  # compiled again


def test_a_system_that_does_not_tell_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(programs, "MAPS", tmp_path / "absent")
    assert not programs.release_programs(share=0.0)


def test_library_calls_leave_the_callers_programs_alone(monkeypatch):
    def refuse():
        raise AssertionError("dropped the caller's programs")

    monkeypatch.setattr(jax, "clear_caches", refuse)
    monkeypatch.setattr(programs, "share_in_use", lambda: 0.99)
    problem = Problem(samples_per_feature=3, keep_fraction=0.5, probe="fixed:0.8")
    with pytest.warns(UserWarning, match="memory maps"):
        simulate(problem, n_features=8, n_trials=2, seed=0)
    sweep(problem, keep_fraction=[0.5])
