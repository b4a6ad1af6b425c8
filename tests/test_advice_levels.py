"""What advice takes from draws and refits: levels, rounds, cells to check, and the decision."""

from dataclasses import replace

import numpy as np
import pytest

from nfl_pruning.realdata.advice import Prediction
from nfl_pruning.realdata.asked import CHEAP, check_question
from nfl_pruning.realdata.policies import RANDOM, Policy, make_policies
from nfl_pruning.realdata.rounds.combine import best_cells
from nfl_pruning.realdata.rounds.levels import GAINED, levels, losses
from nfl_pruning.realdata.rounds.probing import RowsProbe
from nfl_pruning.realdata.rounds.refits import ALL, Outcome, Rows, Setting, smoothed
from nfl_pruning.realdata.rounds.study import Study
from nfl_pruning.realdata.targets import TARGETS

TARGET = TARGETS["accuracy"]
POLICIES = make_policies(["el2n", "margin"])
CELLS = [(policy, 0.1) for policy in POLICIES]


def outcome(value):
    """With an error of this log-odds."""
    return Outcome(1 - float(TARGET.back(value)), 0.0, np.zeros(2), np.zeros(2))


def draws(seed, noise, lost, n=8):
    """Draws of both sizes: the smaller lose ``lost[i]`` in cell i, with independent noise."""
    rng = np.random.default_rng(seed)
    both = []
    for loss in (np.zeros(len(CELLS)), lost):
        values = -1.0 + loss + noise * rng.normal(size=(n, len(CELLS)))
        both.append([dict(zip(CELLS, map(outcome, row), strict=True)) for row in values])
    return both[0], both[1]


def test_what_rows_gain_is_told_from_the_noise_of_draws():
    lost = np.full(len(CELLS), 0.1)
    drawn, small = draws(0, 0.3, lost)
    plain = [
        TARGET.estimate([one[c] for one in small])[0]
        - TARGET.estimate([one[c] for one in drawn])[0]
        for c in CELLS
    ]
    found = losses(CELLS, drawn, small, TARGET)
    told = np.array([found[c] for c in CELLS])
    assert np.abs(told - lost).mean() < 0.6 * np.abs(plain - lost).mean()
    assert told.mean() == pytest.approx(np.mean(plain))
    # A control: losses that differ by more than the noise are kept apart.
    unlike = np.linspace(0, 0.6, len(CELLS))
    found = losses(CELLS, *draws(0, 0.02, unlike), TARGET)
    assert np.abs(np.array([found[c] for c in CELLS]) - unlike).max() < 0.05


def test_levels_of_checked_cells_use_the_draws_of_both_sizes():
    lost = np.full(len(CELLS), 0.2)
    gaps = {"both": [], "one": []}
    for seed in range(20):
        drawn, small = draws(seed, 0.2, lost)
        found = levels(drawn, small, TARGET)
        alone = levels(drawn, [{} for _ in small], TARGET)
        gaps["both"] += [found[c].whole + 1.0 for c in CELLS]
        gaps["one"] += [alone[c].whole + 1.0 for c in CELLS]
        gap = np.mean([found[c].check - found[c].whole for c in CELLS])
        assert gap == pytest.approx(GAINED * 0.2, abs=0.05)
        assert all(alone[c].check == alone[c].whole for c in CELLS)  # nothing was drawn for them
        assert np.mean([found[c].error for c in CELLS]) == pytest.approx(0.2 / 4, rel=0.25)
    spread = {name: np.std(values) for name, values in gaps.items()}
    assert spread["both"] < 0.85 * spread["one"]
    assert spread["one"] == pytest.approx(0.2 / np.sqrt(8), rel=0.2)


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=203)
    x = 1.2 * (2 * y[:, None] - 1) * np.array([1.0, 0.5, 0.0]) + rng.normal(size=(203, 3))
    found = Study(Rows(x, y), Setting(2, 0.01, RowsProbe()), 0, 8, workers=1)
    found.fit(1)
    return found


def test_every_row_is_tested_on_once(study):
    tested = np.concatenate([split.test for split in study.splits])
    assert len(study.splits) == 8 and sorted(tested) == list(range(203))
    for split in study.splits:
        assert len(np.intersect1d(split.train, split.test)) == 0
        assert len(split.train) + len(split.test) == 203


def test_fewer_rows_of_a_draw_are_its_first(study):
    whole = study.draws(10, 203, [ALL])
    fewer = study.draws(10, 160, [ALL])
    value = [np.array([one[ALL].accuracy for one in rounds]) for rounds in (whole, fewer)]
    paired = np.std(value[0] - value[1])
    crossed = np.std(value[0] - np.roll(value[1], 1))  # a control: of different draws
    assert 0 < paired < 0.6 * crossed


def test_all_policies_are_checked_where_little_is_kept():
    asked = check_question([0.1, 0.2, 0.5], ["el2n"], (0.5,), "accuracy", 1.0, "few", None, 0)
    found = asked.first_cells(1000)
    assert len(found) == len(set(found)) and ALL in found
    for policy in asked.policies:
        assert all((policy, f) in found for f in asked.keep_fractions if f <= CHEAP)
    asked = replace(asked, policies=POLICIES)
    dear = [cell for cell in asked.first_cells(1000) if CHEAP < cell[1] < 1]
    assert len(dear) < len(POLICIES)  # a control: not everywhere
    assert (Policy("el2n"), 0.1) not in asked.first_cells(10)  # nothing that cannot be refitted


def test_every_cell_is_checked_where_rows_are_few():
    asked = check_question([0.1, 0.5], ["el2n"], (0.5,), "accuracy", 1.0, "few", None, 0)
    assert asked.first_cells(1000, everything=True) == asked.cells()
    few = asked.first_cells(5, everything=True)
    assert ALL in few and len(few) < len(asked.cells())


def _outcomes(rights):
    cells = [(Policy("el2n", exploit=share), 0.1) for share in np.linspace(0.2, 0.8, len(rights))]
    nothing = np.zeros(2)
    return {
        cell: Outcome(right, 0.5, nothing, nothing)
        for cell, right in zip(cells, rights, strict=False)
    }


def test_probabilities_tell_half_of_a_difference_and_labels_the_level():
    found = _outcomes([0.8, 0.7, 0.9]) | {ALL: Outcome(0.95, 0.2, np.zeros(2), np.zeros(2))}
    told = dict(zip(found, [0.86, 0.82, 0.90, 0.5], strict=True))
    now = [one.accuracy for one in smoothed(found, told).values()]
    assert now[3] == 0.95
    assert np.allclose(np.subtract(now[:3], [0.83, 0.76, 0.90]), now[0] - 0.83)
    assert np.median(np.subtract(now[:3], [0.8, 0.7, 0.9])) == pytest.approx(0)


@pytest.mark.parametrize("factor", [1.0, 0.3])
def test_differences_told_by_right_probabilities_have_less_noise_and_no_bias(factor):
    rng, angles, gaps = np.random.default_rng(0), [0.0, 0.5, -0.5], []
    for _ in range(300):
        x = rng.normal(size=(200, 2)) * 1.5
        chance = 1 / (1 + np.exp(-2 * x[:, 0]))
        y = rng.random(200) < chance
        known = 1 / (1 + np.exp(-factor * 2 * x[:, 0]))  # a control: chances too near to a half
        chosen = [x @ [np.cos(a), np.sin(a)] > 0 for a in angles]
        found = _outcomes([(one == y).mean() for one in chosen])
        told = [np.where(one, known, 1 - known).mean() for one in chosen]
        after = [
            one.accuracy for one in smoothed(found, dict(zip(found, told, strict=True))).values()
        ]
        truth = [np.where(one, chance, 1 - chance).mean() for one in chosen]
        before = [one.accuracy for one in found.values()]
        gaps.append([v[0] - v[1] - truth[0] + truth[1] for v in (before, after)])
    noise, error = np.std(gaps, axis=0), np.mean(gaps, axis=0) / np.std(gaps, axis=0) * 300**0.5
    assert noise[1] < 0.6 * noise[0] and abs(error[0]) < 4
    assert (abs(error[1]) < 4) == (factor == 1.0)


def prediction(policy, value, low, high=99.0, fraction=0.3):
    shares = np.ones(2)
    return Prediction(
        policy, fraction, value, low, high, value, 0.0, 0.0, None, None, shares, shares
    )


def test_a_choice_weighs_the_value_and_what_is_certain_of_it():
    bold = prediction(Policy("el2n"), 90.0, 80.0)
    sure = prediction(RANDOM, 86.0, 85.8)
    middle = prediction(Policy("margin"), 89.0, 84.0)
    assert (RANDOM, 0.3) in best_cells([bold, sure, middle], 1)
    assert best_cells([bold, sure, middle], 1)[0] == (Policy("margin"), 0.3)
    assert best_cells([replace(bold, low=88.5), sure, middle], 1)[0] == (Policy("el2n"), 0.3)
    # Of a loss the upper end is the worse one.
    less = prediction(Policy("el2n"), 0.4, 0.2, 0.9)
    more = prediction(Policy("margin"), 0.5, 0.1, 0.6)
    assert less.careful(-1) < more.careful(-1) and less.careful(1) > more.careful(1)
