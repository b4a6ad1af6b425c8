"""Links are probabilities, written twice: as functions and as sums of smoothed steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, ndtr

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.links import LINKS, parse_link

MARGINS = np.linspace(-30, 30, 1201) + 1e-3


@pytest.mark.parametrize("name", sorted(LINKS))
def test_steps_are_the_link(name):
    base, locations, widths, jumps = LINKS[name].steps
    total = np.full_like(MARGINS, base)
    for location, width, jump in zip(locations, widths, jumps, strict=True):
        total += jump * (ndtr((MARGINS - location) / width) if width else location < MARGINS)
    with jax.enable_x64(True):
        values, mirrored = (np.asarray(LINKS[name](margin)) for margin in (MARGINS, -MARGINS))
    np.testing.assert_allclose(total, values, atol=1e-12)
    np.testing.assert_allclose(values + mirrored, 1.0, atol=1e-12)
    assert LINKS[name].symmetric


def test_logistic_and_probit_are_themselves():
    with jax.enable_x64(True):
        np.testing.assert_allclose(LINKS["logistic"](MARGINS), expit(MARGINS), atol=1e-15)
        np.testing.assert_allclose(LINKS["probit"](MARGINS), ndtr(MARGINS), atol=1e-15)
    assert LINKS["logistic"](jnp.zeros(3, jnp.float32)).dtype == jnp.float32


def test_piecewise_constant_reads_its_text():
    link = parse_link("steps:-1,2:0.1,0.7,0.4")
    values = np.asarray(link(np.array([-5.0, -1.1, -0.9, 1.9, 2.1])))
    np.testing.assert_allclose(values, [0.1, 0.1, 0.7, 0.7, 0.4], rtol=1e-6)
    assert not link.symmetric and parse_link(link.name) == link
    assert parse_link("steps:0:0.05,0.95").symmetric
    assert not parse_link("steps:0:0.05,0.9").symmetric
    assert parse_link("steps:-1,1:0.2,0.5,0.8").symmetric


@pytest.mark.parametrize("clean", ["logistic", "probit", "sign", "steps:-1,2:0.1,0.7,0.4"])
def test_flips_turn_labels_round(clean):
    link, inner = parse_link(f"flip:0.1:{clean}"), parse_link(clean)
    with jax.enable_x64(True):
        before, after = np.asarray(inner(MARGINS)), np.asarray(link(MARGINS))
    np.testing.assert_allclose(after, 0.9 * before + 0.1 * (1 - before), atol=1e-15)
    base, locations, widths, jumps = link.steps
    total = np.full_like(MARGINS, base)
    for location, width, jump in zip(locations, widths, jumps, strict=True):
        total += jump * (ndtr((MARGINS - location) / width) if width else location < MARGINS)
    np.testing.assert_allclose(total, after, atol=1e-12)
    assert link.symmetric == inner.symmetric and link.scale_free == inner.scale_free
    assert link.rises == inner.rises
    assert parse_link(link.name) == link and hash(parse_link(link.name)) == hash(link)


def test_flips_of_the_sign_are_a_noisy_step():
    assert parse_link("flip:0.05") == parse_link("flip:0.05:sign")
    np.testing.assert_allclose(
        np.hstack(parse_link("flip:0.05").steps), np.hstack(parse_link("steps:0:0.05,0.95").steps)
    )
    twice = parse_link("flip:0.1:flip:0.2:logistic")
    np.testing.assert_allclose(twice(MARGINS), parse_link("flip:0.26:logistic")(MARGINS), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("flip:0.7", r"flip probability must be a number in \[0, 0.5\]; got '0.7'"),
        ("flip:x:sign", "flip probability must be a number"),
        ("flip:", "flip probability must be a number"),
        ("flip:0.1:logit", "nearest: logistic"),
        ("logit", "nearest: logistic"),
        ("steps:0", "must have the form steps:BREAKS:VALUES"),
        ("steps:a:0,1", "must have the form steps:BREAKS:VALUES"),
        ("steps:0:0.1", "takes 2 values; got 1"),
        ("steps:1,0:0.1,0.2,0.3", "finite and increasing"),
        ("steps:inf:0.1,0.2", "finite and increasing"),
        ("steps:0:-0.1,0.2", r"probabilities in \[0, 1\]"),
        ("steps:0:nan,0.2", r"probabilities in \[0, 1\]"),
    ],
)
def test_bad_links_are_refused_in_a_sentence(text, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        parse_link(text)
