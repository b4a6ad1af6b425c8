"""Thousands of random inputs: a sentence or a success, nothing lost, no fault in silence.

Files, options, arrays and settings are drawn from what people have and from what goes wrong. Each
case runs in this process through the command line's entry function or the library's functions.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from click.testing import CliRunner

from fuzz_draws import (
    PROTOCOLS,
    Rng,
    comparison,
    csv_file,
    features,
    labels,
    npz_file,
    options,
    pick,
    places,
    scores_file,
)
from nfl_pruning import SCORES, Context, InvalidArgumentError, select
from nfl_pruning.cli.main import main
from nfl_pruning.data import load_dataset, make_dataset
from nfl_pruning.pruning.run import prune
from nfl_pruning.selections import RankSelection, make_selection
from nfl_pruning.selections.finite import realised_counts

CASES = int(os.environ.get("FUZZ_CASES", "5000"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
KEY = jax.random.key(3)
STRICT = [
    ("jax_numpy_rank_promotion", "raise", "allow"),
    ("jax_numpy_dtype_promotion", "strict", "standard"),
    ("jax_transfer_guard", "disallow", None),
]


def snapshot(folder: Path) -> dict[str, Any]:
    """Every file's bytes, and where links lead."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def said(refusal: InvalidArgumentError, kind: str) -> str:
    """The kind of a refusal, which is one sentence."""
    assert "\n" not in str(refusal) and str(refusal).endswith("."), refusal
    return kind


def command_line(rng: Rng, folder: Path) -> list[str]:
    """One command on files of its own; three in five have nothing odd and should succeed."""
    odd = rng.random() < 0.4
    path = (npz_file if rng.random() < 0.5 else csv_file)(rng, folder, odd=odd)
    if rng.random() < 0.1:
        os.link(path, folder / "held.npz")
        os.link(path, folder / "held.png")
        os.symlink(path, folder / "link.npz")
    kind = rng.random()
    if kind < 0.012:
        line = ["compare", str(path), *comparison(rng, folder, odd=odd)]
        if rng.random() < 0.2:
            line += ["--test-data", str(path)]
        return line
    if kind < 0.035:
        quick = ["--model", "logistic", "--epochs", "1", "--batch-size", "8"]
        return [pick(rng, ["score", "train"]), str(path), *quick]
    given = rng.random() < 0.15
    without = ("--score", "--probe", "--probe-ridge", "--scale") if given and not odd else ()
    line = ["prune", str(path), *options(rng, odd=odd, without=without)]
    line += places(rng, folder, odd=odd)
    if given:
        line += ["--scores", str(scores_file(rng, folder, pick(rng, [24, 40]), odd=odd))]
    return line


def command_case(rng: Rng, folder: Path) -> str:
    """One command on one set of files; returns how it ended."""
    line = command_line(rng, folder)
    before = snapshot(folder)
    ran = CliRunner().invoke(main, [*line, "--json"])
    trouble = "".join(traceback.format_exception(*ran.exc_info)) if ran.exc_info else ""
    assert ran.exit_code in (0, 2), f"{line}\n{trouble}"
    assert isinstance(ran.exception, (SystemExit, type(None))), f"{line}\n{trouble}"
    after, out = snapshot(folder), line[line.index("--out") + 1] if "--out" in line else None
    written = None if out is None else str(Path(out).relative_to(folder))
    for name, content in before.items():  # nothing lost
        same_file = written is not None and name == written and name == "out.npz"
        assert same_file or after.get(name) == content, (line, name)
    if ran.exit_code == 2:
        assert ran.stdout == "" and after == before, line
        assert ran.stderr.startswith("Error: ") and ran.stderr.count("\n") == 1, (line, ran.stderr)
        return "refused"
    found = json.loads(ran.stdout, parse_constant=pytest.fail)
    if line[0] == "prune":
        check_subset(found, line, folder / written if written else None)
    if line[0] == "compare":
        check_comparison(found, line)
    return line[0]


def check_comparison(found: dict[str, Any], line: list[str]) -> None:
    """Verdicts against plain random, from the accuracies shown, and the same from the records."""
    balanced = "--balance" in line
    for rules in found["accuracy"].values():
        assert next(iter(rules)) == "random", line
        assert any(rule.startswith("random ") for rule in rules) == balanced, line
        assert all(0 <= value <= 1 for values in rules.values() for value in values), line
        assert all(len(values) == 2 for values in rules.values()), line
    for row in found["verdicts"]:
        rules = found["accuracy"][f"{row['keep_fraction']:g}"]
        gap = 100 * np.mean(np.subtract(rules[row["rule"]], rules["random"]))
        assert row["difference"] == pytest.approx(gap), line
    for name in found["config"]["features"] or ():
        assert name not in ("", "label", "id", "index", "Unnamed: 0"), line
    assert found["reused"] == 0
    again = [part for part in line if not part.endswith((".png", "--plot"))]
    ran = CliRunner().invoke(main, [*again, "--json"])
    known = json.loads(ran.stdout)
    assert known["reused"] == 2 and known["accuracy"] == found["accuracy"], line


def check_subset(found: dict[str, Any], line: list[str], out: Path | None) -> None:
    """The size that was asked for, finite weights, ids that survive, no odd column in silence."""
    config, n = found["config"], found["n_samples"]
    rule = make_selection(config["protocol"], exploit=config["exploit"] or 0.5)
    wanted = int(np.floor(config["keep_fraction"] * n + 0.5 + 1e-9))
    if isinstance(rule, RankSelection):
        assert found["n_kept"] == wanted >= 1, line
    for name in config["features"] or ():
        assert (
            name not in ("", "label", "Unnamed: 0")
            or "--id-column" in line
            or (name == "label" and "--label-column" in line)
        ), line
        if name in ("id", "index") and "none" not in line:
            raise AssertionError((line, name))
        if name == "user_id":
            assert any("user_id" in note for note in found["warnings"]), line
    if config["probe"] and config["score"] != "given":
        assert found["probe_accuracy"] is None or 0 <= found["probe_accuracy"] <= 1
        if (
            found["probe_accuracy"] is not None
            and found["probe_accuracy"] <= found["largest_class"]
        ):
            assert any("near chance" in note for note in found["warnings"]), line
    if out is None:
        return
    if out.suffix == ".csv":
        check_table(found, out)
        return
    with np.load(out, allow_pickle=False) as archive:
        arrays = dict(archive)
    weights, rows = arrays["weights"], arrays["indices"]
    assert weights.shape == arrays["scores"].shape == (n,)
    assert np.isfinite(weights).all() and (weights >= 0).all()
    assert np.isfinite(arrays["scores"]).all()
    np.testing.assert_array_equal(np.flatnonzero(weights), rows)
    assert ((arrays["keep_probabilities"] >= 0) & (arrays["keep_probabilities"] <= 1)).all()
    assert (arrays["keep_probabilities"][rows] > 0).all()
    if "ids" in arrays:
        assert len(set(arrays["ids"].tolist())) == n


def check_table(found: dict[str, Any], out: Path) -> None:
    """The user's own rows, each with what was decided of it."""
    with out.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found["n_samples"]
    kept = [row for row in rows if row["keep"] in ("True", "true", "1")]
    assert len(kept) == found["n_kept"]
    assert all(float(row["weight"]) > 0 for row in kept)
    assert sum(float(row["weight"]) > 0 for row in rows) == len(kept)
    if "id" in rows[0]:  # else the user's own column, under its own name
        assert len({row["id"] for row in rows}) == len(rows)


def array_case(rng: Rng) -> str:
    """Scores, selection and pruning of arrays, some of which do not fit."""
    n, classes = int(pick(rng, [1, 2, 9, 30])), int(pick(rng, [1, 2, 3, 5]))
    logits = rng.normal(size=(n, classes)) * pick(rng, [1, 1, 1, 1e3, 1e300])
    codes: Any = pick(rng, [rng.integers(0, classes, n)] * 5 + [labels(rng, n), 1, None, "a"])
    path: Any = rng.normal(
        size=pick(rng, [(n, 4, classes)] * 3 + [(4, n, classes), (n, 0, classes)])
    )
    if rng.random() < 0.1:
        logits.flat[0] = pick(rng, [np.nan, np.inf])
    entries = {
        "input_norm": np.ones(pick(rng, [n, n, n + 1])),
        "features": logits,
        "gradient_norm": np.ones(n),
        "trajectory": path,
        "gap_gradient": np.ones(logits.shape),
        "prototypes": logits[:2],
        "inputs": logits,
    }
    key = pick(rng, [KEY] * 6 + [0, None])
    score = SCORES[pick(rng, list(SCORES))]
    try:
        values = np.asarray(score.rank_key(logits, codes, Context(**entries)), float)
        assert values.shape == (n,) and not np.isnan(values).any()
        if codes is not None or score.label_aware:
            assert np.asarray(codes).dtype.kind in "biu"
            assert np.asarray(codes).min() >= 0 and np.asarray(codes).max() < classes
        rule = make_selection(pick(rng, PROTOCOLS), exploit=float(rng.random()))
        share = float(pick(rng, [0.1, 0.3, 0.5, 1.0]))
        chosen = select(key, values, share, selection=rule, keep=pick(rng, ["hardest", "easiest"]))
        assert np.isfinite(chosen.weights).all() and (chosen.weights >= 0).all()
        if isinstance(rule, RankSelection):
            kept = sum(count.kept for count in realised_counts(rule.strata(share), n))
            assert len(chosen.indices) == kept
        return "scored"
    except InvalidArgumentError as refusal:
        return said(refusal, "refused array")


def dataset_case(rng: Rng) -> str:
    """``make_dataset`` and ``prune`` on arrays at hand."""
    n = int(pick(rng, [2, 12, 40]))
    x, y = features(rng, n), labels(rng, n)
    try:
        data = make_dataset("fuzz", x, y)
        pruned = prune(data, seed=0, keep_fraction=0.5, probe="in-sample")
    except InvalidArgumentError as refusal:
        return said(refusal, "refused data")
    assert len(pruned.indices) == int(np.floor(0.5 * n + 0.5))
    assert np.isfinite(pruned.weights).all() and pruned.weights.sum() == pytest.approx(n)
    assert set(np.unique(data.y)) == set(range(len(data.classes)))
    return "pruned"


def load_case(rng: Rng, folder: Path) -> str:
    """Loading alone, of a file that may be damaged."""
    path = (npz_file if rng.random() < 0.5 else csv_file)(rng, folder)
    before = snapshot(folder)
    try:
        data = load_dataset(path)
    except InvalidArgumentError as refusal:
        return said(refusal, "refused file")
    finally:
        assert snapshot(folder) == before
    assert np.isfinite(data.x).all() and len(data) == len(data.y)
    assert data.ids is None or len(np.unique(data.ids)) == len(data)
    return "loaded"


def one_case(number: int) -> str:
    """Case ``number``, under a strict setting of JAX now and then."""
    rng = np.random.default_rng([SEED, number])
    setting = pick(rng, STRICT) if rng.random() < 0.05 else None
    if setting:
        jax.config.update(setting[0], setting[1])
    try:
        with tempfile.TemporaryDirectory() as place:
            kind, folder = rng.random(), Path(place)
            if kind < 0.5:
                return command_case(rng, folder)
            if kind < 0.7:
                return load_case(rng, folder)
            return array_case(rng) if kind < 0.95 else dataset_case(rng)
    finally:
        if setting:
            jax.config.update(setting[0], setting[2])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_random_inputs_end_in_success_or_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    failures, ends = [], Counter()
    for number in range(CASES):
        try:
            ends[one_case(number)] += 1
        except Exception:
            failures.append(f"case {number}:\n{traceback.format_exc()}")
        assert len(failures) < 20, "\n".join(failures)
    print(dict(ends))
    assert not failures, f"{len(failures)} failures\n" + "\n".join(failures)
    for kind in ("prune", "refused", "loaded", "scored", "pruned"):  # the draw reaches all doors
        assert ends[kind] > CASES / 100, ends
    assert ends["compare"] >= CASES // 500, ends
    assert 0.4 < ends["prune"] / (ends["prune"] + ends["refused"]) < 0.7, ends
