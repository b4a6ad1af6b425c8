"""Outcomes reach tables, PyTorch, Hugging Face and imbalanced-learn with every row's identity."""

import csv
import json
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from nfl_pruning.adapters import add_columns, result_columns, save_table, to_hf, to_torch
from nfl_pruning.data import load_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.run import prune

RNG = np.random.default_rng(1)
N = 30
TABLE = {
    "id": [f"r{i}" for i in RNG.permutation(N)],
    "a": RNG.normal(size=N).round(4),
    "label": np.array(["x", "y"])[np.arange(N) % 2],
    "score": np.arange(N) * 1.0,  # a name that the outcome has too
    "part": np.where(np.arange(N) < 5, "test", "train"),
}


def loaded(table):
    return load_dataset(table, split="part", features=["a"])


@pytest.fixture(scope="module")
def pruned():
    return prune(loaded(TABLE), seed=0, keep_fraction=0.4, selection="exact")


def test_columns_say_what_happened(pruned):
    found = result_columns(pruned)
    assert list(found) == ["id", "score", "rank", "keep", "weight", "keep_probability"]
    assert list(found["id"]) == TABLE["id"]
    kept = np.zeros(N, bool)
    kept[pruned.indices] = True
    safe = np.arange(N) < 5
    np.testing.assert_array_equal(found["keep"], kept | safe)
    np.testing.assert_array_equal(found["rank"] == 0, safe)
    assert set(found["rank"][~safe]) == set(range(1, 26))
    assert set(np.flatnonzero((found["rank"] > 0) & (found["rank"] <= 10))) == set(pruned.indices)
    np.testing.assert_array_equal(found["weight"] > 0, found["keep"])
    np.testing.assert_allclose(found["weight"][~safe].sum(), 25)
    assert np.isnan(found["score"][safe]).all() and np.isfinite(found["score"][~safe]).all()


def as_pandas():
    return pytest.importorskip("pandas").DataFrame(TABLE, index=np.arange(N)[::-1])


def as_polars():
    return pytest.importorskip("polars").DataFrame(TABLE)


def as_arrow():
    return pytest.importorskip("pyarrow").table(TABLE)


def as_hugging_face():
    return pytest.importorskip("datasets").Dataset.from_dict(TABLE)


KINDS = {
    "mapping": (lambda: dict(TABLE), dict),
    "pandas": (as_pandas, lambda table: table.to_dict(orient="list")),
    "polars": (as_polars, lambda table: table.to_dict(as_series=False)),
    "arrow": (as_arrow, lambda table: table.to_pydict()),
    "hugging-face": (as_hugging_face, lambda table: table.to_dict()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_users_table_gets_columns(kind, pruned):
    make, plain = KINDS[kind]
    table = make()
    found = add_columns(table, pruned)
    assert type(found) is type(table)
    columns, expected = plain(found), result_columns(pruned)
    names = ["pruning_score", "rank", "keep", "weight", "keep_probability"]
    assert list(columns) == [*TABLE, *names]
    np.testing.assert_array_equal(np.array(columns["score"]), TABLE["score"])
    for name in names:
        np.testing.assert_array_equal(columns[name], expected[name.removeprefix("pruning_")])
    assert list(plain(table)) == list(TABLE)  # the table itself stays as it is
    with pytest.raises(InvalidArgumentError, match=r"30 rows .* it has 0"):
        add_columns({}, pruned)


def test_identity_survives_in_the_users_index(pruned):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(TABLE).drop(columns="score").set_index("id")
    turned = frame.sample(frac=1, random_state=1)
    again = prune(loaded(turned.reset_index()), seed=0, keep_fraction=0.4)
    marked = add_columns(turned, again)
    assert again.ids is not None
    own = dict(zip(again.ids.tolist(), again.scores, strict=True))
    assert all(marked.loc[name, "score"] == own[name] for name in marked.index[marked["rank"] > 0])


def write_source(path):
    if path.suffix == ".csv":
        lines = [",".join(TABLE), *(",".join(map(str, row)) for row in zip(*TABLE.values()))]  # noqa: B905
        path.write_text("\n".join(lines) + "\n")
    else:
        __import__("pyarrow.parquet").parquet.write_table(as_arrow(), path)
    return path


def read_back(path):
    if path.suffix == ".csv":
        with path.open() as file:
            rows = list(csv.DictReader(file))
        return {name: [row[name] for row in rows] for name in rows[0]}
    pyarrow = pytest.importorskip("pyarrow")
    if path.suffix == ".arrow":
        return pyarrow.ipc.open_file(path).read_all().to_pydict()
    return __import__("pyarrow.parquet").parquet.read_table(path).to_pydict()


@pytest.mark.parametrize("source", [".csv", ".parquet"])
@pytest.mark.parametrize("ending", [".csv", ".parquet", ".arrow"])
def test_the_users_file_gets_columns_and_provenance(tmp_path, source, ending, pruned):
    pytest.importorskip("pyarrow")
    data = loaded(write_source(tmp_path / f"own{source}"))
    found = prune(data, seed=0, keep_fraction=0.4)
    before = (tmp_path / f"own{source}").read_bytes()
    written = save_table(found, tmp_path / f"out{ending}")
    columns = read_back(written)
    assert list(columns["id"]) == TABLE["id"]
    assert [str(value) for value in columns["keep"]] == [
        str(value) for value in result_columns(pruned)["keep"]
    ]
    np.testing.assert_allclose(np.array(columns["a"], float), TABLE["a"])
    np.testing.assert_allclose(np.array(columns["weight"], float), result_columns(pruned)["weight"])
    stated = json.loads((tmp_path / f"out{ending}.provenance.json").read_text())
    assert stated["data_hash"] == found.data_hash and stated["config"]["seed"] == 0
    assert (tmp_path / f"own{source}").read_bytes() == before
    with pytest.raises(InvalidArgumentError, match="exists already"):
        save_table(found, written)
    with pytest.raises(InvalidArgumentError, match="is read"):
        save_table(found, tmp_path / f"own{source}", force=True)


def test_a_table_without_a_file_has_ids(tmp_path, pruned):
    columns = read_back(save_table(pruned, tmp_path / "t.csv"))
    assert columns["id"] == TABLE["id"] and columns["score"][0] == ""
    with pytest.raises(InvalidArgumentError, match=r"ends in \.csv"):
        save_table(pruned, tmp_path / "t.txt")


def test_pytorch(pruned):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.arange(N))
    part = to_torch(data, pruned, generator=torch.Generator().manual_seed(0))
    assert [int(row[0]) for row in part.subset] == pruned.indices.tolist()
    np.testing.assert_allclose(part.weights.mean(), 1, rtol=1e-6)
    own = pruned.weights[pruned.indices]
    np.testing.assert_allclose(part.weights / part.weights[0], own / own[0], rtol=1e-6)
    draws = np.concatenate([list(part.sampler) for _ in range(400)])
    share = np.bincount(draws, minlength=len(own)) / len(draws)
    error = np.sqrt(own / own.sum() / len(draws))
    assert error.max() < 0.01
    assert np.abs((share - own / own.sum()) / error).max() < 4
    assert np.abs((share - 1 / len(own)) / error).max() > 8  # equal draws would be seen
    with pytest.raises(InvalidArgumentError, match=r"30 rows .* it has 3"):
        to_torch([1, 2, 3], pruned)


def test_hugging_face(pruned):
    found = to_hf(as_hugging_face(), pruned, only_kept=True)
    keep = result_columns(pruned)["keep"]
    assert found["id"][:] == [name for name, stays in zip(TABLE["id"], keep, strict=True) if stays]
    with pytest.raises(InvalidArgumentError, match="dict"):
        to_hf(dict(TABLE), pruned)


@pytest.fixture(scope="module")
def data():
    x = RNG.normal(size=(200, 3))
    return x, np.array(["no", "yes"])[(x[:, 0] > 0.5).astype(int)]


class TestSampler:
    def test_keeps_what_prune_keeps(self, data):
        from nfl_pruning.adapters.sampler import PruningSampler

        sampler = PruningSampler(keep_fraction=0.25, random_state=0)
        x, y, weights = sampler.fit_resample(*data, sample_weight=np.arange(200))
        np.testing.assert_array_equal(x, data[0][sampler.sample_indices_])
        np.testing.assert_array_equal(y, data[1][sampler.sample_indices_])
        np.testing.assert_array_equal(weights, sampler.sample_indices_)
        np.testing.assert_allclose(sampler.sample_weight_.mean(), 1)
        again: Any = clone(sampler)
        assert len(again.set_params(keep_fraction=0.1).fit(*data).sample_indices_) == 20

    def test_in_a_pipeline_only_training_rows_are_pruned(self, data):
        pipeline = pytest.importorskip("imblearn.pipeline")
        from sklearn.linear_model import LogisticRegression

        from nfl_pruning.adapters.sampler import PruningSampler

        sampler = PruningSampler(keep_fraction=0.5, random_state=0)
        model = pipeline.make_pipeline(sampler, LogisticRegression()).fit(*data)
        assert len(model.predict(data[0])) == 200
        assert model.score(*data) > 0.9

    def test_some_estimator_checks(self):
        run_checks(lambda name: name.endswith(("fit", "indices", "one_label", "ova")), 4)

    @pytest.mark.slow
    def test_all_estimator_checks(self):
        run_checks(lambda name: "array_api" not in name, 45)


def run_checks(wanted, at_least):
    checks = pytest.importorskip("imblearn.utils.estimator_checks")
    from sklearn.utils import estimator_checks as plain

    from nfl_pruning.adapters.sampler import PruningSampler

    sampler = PruningSampler(keep_fraction=0.5, random_state=0)
    known: Any = (
        checks._yield_sampler_checks(sampler),
        plain._yield_all_checks(sampler, legacy=True),
    )
    run = [
        check for some in known for check in some if wanted(getattr(check, "func", check).__name__)
    ]
    assert len(run) >= at_least
    for check in run:
        check("PruningSampler", clone(sampler))
