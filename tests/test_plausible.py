"""Values that are no values are named, and scaling holds at every magnitude."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from nfl_pruning.cli.main import main
from nfl_pruning.data import load_dataset, load_test_data, make_dataset
from nfl_pruning.numerics.scaling import fit_scaling
from nfl_pruning.pruning.plausible import chance_notes, far_out_notes
from nfl_pruning.pruning.run import prune

RNG = np.random.default_rng(1)
N = 300
Y = np.arange(N) % 3
X = RNG.normal(size=(N, 4)) + 2 * np.eye(3, 4)[Y]


@pytest.mark.parametrize("is_image", [False, True])
@pytest.mark.parametrize("size", [1.0, 1e-310, 1e-200, 1e30, 1e200, 3e307])
def test_scaling_at_every_magnitude(size, is_image):
    plain, large = (fit_scaling(x, is_image=is_image)(x) for x in (X, X * size))
    np.testing.assert_allclose(large, plain, rtol=1e-9, atol=1e-9)


def test_a_far_centre_leaves_the_spread():
    x = 2.0**60 + 1000 * X
    scaled = fit_scaling(x)(x)
    np.testing.assert_allclose(scaled.std(axis=0), 1)
    assert np.corrcoef(scaled[:, 0], X[:, 0])[0, 1] > 0.99
    assert np.abs(fit_scaling(2.0**60 + 50 * X)(2.0**60 + 50 * X)).max() < 1e-12  # rounding alone


def test_opposite_ends_and_other_rows_do_not_overflow():
    ends = np.array([[-1.7e308], [1.7e308]])
    np.testing.assert_allclose(fit_scaling(ends)(ends), [[-1], [1]])
    assert np.isfinite(fit_scaling(np.array([[1e-300], [0.0]]))(ends)).all()


@pytest.mark.parametrize("size", [1e200, 3e307, 1e-200])
def test_scores_do_not_depend_on_the_unit(size):
    usual = prune(make_dataset("a", X, Y), seed=0)
    other = prune(make_dataset("a", X * size, Y), seed=0)
    np.testing.assert_allclose(other.scores, usual.scores, rtol=1e-6)
    assert other.probe_accuracy == usual.probe_accuracy
    assert (usual.probe_accuracy or 0) > 0.7


def spoilt(rows, value, columns: int | slice = slice(None)):
    x = X.copy()
    x[rows, columns] = value
    return make_dataset("spoilt", x, Y)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (spoilt([17], -999.0), ["1 of 300 rows", "row 17", "-999"]),
        (spoilt([3, 8], -99999.0, 2), ["2 of 300 rows", "row 3, row 8", "feature 2"]),
        (spoilt([5], 1e12, 0), ["row 5"]),
        (spoilt(np.arange(8) * 30, 9999.0, 1), ["8 of 300", "row 0, row 30", "..."]),
    ],
)
def test_far_out_rows_are_named(data, words):
    (note,) = prune(data, seed=0, keep_fraction=0.5).warnings
    for word in words:
        assert word in note


def test_plausible_columns_are_left_alone():
    for x in (
        X,
        RNG.lognormal(0, 1, size=(N, 4)),
        RNG.poisson(0.1, size=(N, 4)).astype(float),
        RNG.integers(0, 1000, size=(N, 4)),
        (RNG.random((N, 8, 8)) < 0.05) * RNG.random((N, 8, 8)),
        np.full((N, 2), 3.0),
    ):
        assert far_out_notes(make_dataset("fine", x, Y)) == []
    assert far_out_notes(load_dataset("digits")) == []


def test_ids_and_lines_name_the_rows(tmp_path):
    lines = [f"{a},{b},c{c}" for (a, b), c in zip(X[:40, :2], Y[:40], strict=True)]
    lines[9] = "-99999,0,c0"
    (tmp_path / "t.csv").write_text("a,b,label\n" + "\n".join(lines))
    (note,) = far_out_notes(load_dataset(tmp_path / "t.csv"))
    assert "line 11" in note and "feature a" in note
    lines = [f"img{i},{line}" for i, line in enumerate(lines)]
    (tmp_path / "t.csv").write_text("id,a,b,label\n" + "\n".join(lines))
    assert "id img9" in far_out_notes(load_dataset(tmp_path / "t.csv"))[0]


@pytest.mark.parametrize("shape", [(4,), (2, 2)])
def test_test_data_that_were_seen_or_have_other_units_are_told(tmp_path, shape):
    own = X - X.min() + 1
    np.savez(tmp_path / "d.npz", x=own.reshape(-1, *shape), y=Y)
    data = load_dataset(tmp_path / "d.npz")
    fresh = np.roll(own, 1, axis=0) + RNG.normal(size=X.shape)
    columns = np.array([1, 1, 1e-3, 1])
    for rows, count, words in (
        (fresh, 0, ""),
        (np.concatenate([fresh, own[:7]]), 1, "7 of 307 test rows"),
        (1000 * fresh, 1, "scale"),
        (fresh / 1000, 1, "scale"),
        (fresh * 1e200, 1, "scale"),
        (fresh + 1e6, 1, "scale"),
        (fresh * columns, len(shape) == 1, "1 of 4 features are on another scale"),
    ):
        labels = np.arange(len(rows)) % 3
        np.savez(tmp_path / "t.npz", x=rows.reshape(-1, *shape), y=labels)
        notes = load_test_data(tmp_path / "t.npz", data).notes
        assert len(notes) == count
        assert not count or words in notes[0]
    if len(shape) == 1:
        assert "column 2 of x" in notes[0]


def test_test_data_of_the_same_columns_are_left_alone(tmp_path):
    """Rare, constant and whole numbers differ by chance; no unit does."""
    for kind in (
        (RNG.random((2 * N, 4)) < 0.05) * 1.0,
        RNG.poisson(1, (2 * N, 4)) + RNG.random((2 * N, 1)),
        np.column_stack([np.full(2 * N, 3.0), RNG.random(2 * N)]),
        RNG.lognormal(0, 2, (2 * N, 3)),
    ):
        np.savez(tmp_path / "d.npz", x=np.column_stack([kind[:N], X]), y=Y)
        np.savez(tmp_path / "t.npz", x=np.column_stack([kind[N:], -X]), y=Y)
        data = load_dataset(tmp_path / "d.npz")
        assert load_test_data(tmp_path / "t.npz", data).notes == data.notes == ()


def test_chance_is_said():
    noise = make_dataset("noise", RNG.normal(size=(N, 4)), Y)
    for probe in ("pilot", "in-sample"):
        pruned = prune(noise, seed=0, probe=probe)
        assert pruned.probe_accuracy is not None
        assert pruned.probe_accuracy < 0.5
        assert any("near chance" in note for note in pruned.warnings)
        fine = prune(make_dataset("fine", X, Y), seed=0, probe=probe)
        assert fine.warnings == ()
    assert chance_notes(0.96, 0.95, 100)
    assert not chance_notes(0.99, 0.95, 1000)
    assert not chance_notes(None, 0.5, 0)


@pytest.mark.parametrize("command", ["prune", "score", "compare"])
def test_the_commands_show_accuracy_beside_the_largest_class(command, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    np.savez(tmp_path / "noise.npz", x=RNG.normal(size=(N, 4)), y=Y)
    np.savez(tmp_path / "fine.npz", x=X, y=Y)
    options = {
        "prune": [],
        "score": ["--model", "logistic", "--epochs", "3"],
        "compare": ["--model", "logistic", "--epochs", "4", "--repeats", "2"],
    }[command]
    for name, warned in (("noise", True), ("fine", False)):
        line = [command, str(tmp_path / f"{name}.npz"), *options]
        said = " ".join(CliRunner().invoke(main, line).output.split())
        assert "% of rows it has not seen; the largest class has" in said
        assert ("near chance" in said) == warned
        found = json.loads(CliRunner().invoke(main, [*line, "--json"]).stdout)
        assert any("near chance" in note for note in found["warnings"]) == warned
