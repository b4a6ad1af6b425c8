import jax
import jax.numpy as jnp

from nfl_pruning import programs


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
