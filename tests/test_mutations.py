"""Broken code is noticed: each mutation turns a statement that holds for the code as it is.

A mutation changes what the package does; statements predict by other means, so they must turn.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from nfl_pruning.scores import SCORES
from nfl_pruning.selections import Threshold, calibration, finite
from nfl_pruning.selections.base import Stratum
from nfl_pruning.statements import STATEMENTS
from nfl_pruning.statements.base import REFUTED, SUPPORTED
from nfl_pruning.statements.measuring import sampling
from nfl_pruning.statements.measuring.summary import forget
from nfl_pruning.theory import proportional
from nfl_pruning.theory.selection_law import ordering

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def fresh_programs():
    """Compiled programs hold the code that they were compiled from, kept results its numbers."""
    jax.clear_caches()
    forget()
    yield
    jax.clear_caches()
    forget()


def flip_a_keep_direction(monkeypatch):
    """The hardest and the easiest end change places in the ranking of samples."""
    ordered = finite.ordered_integers
    monkeypatch.setattr(finite, "ordered_integers", lambda values: ordered(-values))


def drop_the_inverse_weight(monkeypatch):
    """Explored samples weigh 1."""
    bands = calibration._bands

    def unweighted(*arguments):
        return tuple(replace(stratum, weight_exponent=0.0) for stratum in bands(*arguments))

    monkeypatch.setattr(calibration, "_bands", unweighted)


def select_with_the_labels_seed(monkeypatch):
    """The lots of random pruning are the very numbers that drew the labels."""
    split_keys = sampling.split_keys
    monkeypatch.setattr(
        sampling, "split_keys", lambda key: (k := split_keys(key))._replace(select=k.labels)
    )

    def lots(key, shape):
        # the second of two keys is the one that explores; both come from the labels' key here
        return (jax.random.uniform(key, shape, jnp.float32) * 2**30).astype(jnp.int32)

    class Random:
        split = staticmethod(lambda key: (key, key))

    class Jax:
        random = Random()
        lax = jax.lax

    monkeypatch.setattr(finite, "random_integers", lots)
    monkeypatch.setattr(finite, "jax", Jax())


def omit_chi(monkeypatch):
    """The refit forgets that a sample moved the probe that selected the others."""
    system = proportional.System
    monkeypatch.setattr(proportional, "System", lambda *arguments: system(*arguments[:4]))


def swap_ends_of_one_score(monkeypatch):
    """Entropy with the wrong sign."""
    right = SCORES["entropy"]
    wrong = replace(right, difficulty=lambda *arguments: -right.difficulty(*arguments))
    monkeypatch.setitem(SCORES._members, "entropy", wrong)


def shift_a_threshold_of_samples(monkeypatch):
    """A fifth more is kept than asked for."""

    def strata(self, keep_fraction):
        kept = min(1.2 * keep_fraction, 1.0)
        return (Stratum(kept, 1.0), Stratum(1 - kept, 0.0))

    monkeypatch.setattr(Threshold, "strata", strata)


def shift_a_threshold_of_the_theory(monkeypatch):
    """The limit's cut in y u lies 0.3 too high."""
    cut = ordering.SignedOrder.cut

    def shifted(self, share):
        found = cut(self, share)
        return replace(found, high=found.high + 0.3, low=found.low + 0.3)

    monkeypatch.setattr(ordering.SignedOrder, "cut", shifted)


@pytest.mark.parametrize(
    ("mutation", "name"),
    [
        (flip_a_keep_direction, "truncated-law"),
        (flip_a_keep_direction, "truncated-minimiser"),
        (drop_the_inverse_weight, "calibration"),
        (select_with_the_labels_seed, "random-valid"),
        (omit_chi, "in-sample"),
        (swap_ends_of_one_score, "truncated-law"),
        (swap_ends_of_one_score, "label-agnostic"),
        (shift_a_threshold_of_samples, "truncated-law"),
        (shift_a_threshold_of_the_theory, "proportional-limit"),
    ],
)
def test_a_mutation_turns_a_statement(monkeypatch, mutation, name):
    with monkeypatch.context() as patch:
        mutation(patch)
        broken = STATEMENTS[name].check("quick", 0).verdict
    assert broken == REFUTED, mutation.__doc__


@pytest.mark.parametrize(
    "name",
    ["truncated-law", "truncated-minimiser", "calibration", "random-valid", "in-sample",
     "label-agnostic", "proportional-limit"],
)  # fmt: skip
def test_the_same_statements_hold_for_the_code_as_it_is(name):
    assert STATEMENTS[name].check("quick", 0).verdict == SUPPORTED
