"""Thousands of random inputs: a sentence or a success, nothing lost, no fault in silence.

Files, options, arrays and settings are drawn from what people have and from what goes wrong. Each
case runs in this process through the command line's entry function or the library's functions.
"""

from __future__ import annotations

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

from nfl_pruning import SCORES, Context, InvalidArgumentError, select
from nfl_pruning.cli.main import main
from nfl_pruning.data import load_dataset, make_dataset
from nfl_pruning.pruning import prune
from nfl_pruning.selections import RankSelection, make_selection
from nfl_pruning.selections.finite import realised_counts

CASES = int(os.environ.get("FUZZ_CASES", "5000"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
NAMES = ["a", "b", "width", "id", "index", "Unnamed: 0", "", "x y", "label", "é", "[/b]", "user_id"]
CLASSES = ["0", "1", "-1", "cat", "[/red]", "naïve", "2", "nan", " x ", ":smile:", "a,b", "True"]
PROTOCOLS = ["threshold", "exact", "soft:0.5", "random", "window:0.1", "coverage:0.1", "power:1"]
KEY = jax.random.key(3)
STRICT = [
    ("jax_numpy_rank_promotion", "raise", "allow"),
    ("jax_numpy_dtype_promotion", "strict", "standard"),
    ("jax_transfer_guard", "disallow", None),
]

Rng = np.random.Generator


def pick(rng: Rng, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def features(rng: Rng, n: int) -> np.ndarray:
    """A table or images, of a usual or of an unusual kind."""
    shapes = [(1,), (3,), (4,), (6,), (4, 4), (4, 4, 3), (1, 5, 5), (0,), (2, 1)]
    x = rng.normal(size=(n, *pick(rng, shapes[:5] if rng.random() < 0.8 else shapes)))
    kind = pick(rng, ["plain"] * 6 + ["size", "hole", "code", "int", "grey", "constant", "far"])
    if kind == "size":
        x *= pick(rng, [1e-310, 1e-200, 1e30, 1e200, 1e307])
    elif kind == "hole" and x.size:
        x.flat[rng.integers(x.size)] = pick(rng, [np.nan, np.inf, -np.inf])
    elif kind == "code" and x.size:
        x.flat[rng.integers(x.size, size=3)] = pick(rng, [-999, 99999, 1e12])
    elif kind == "int":
        x = rng.integers(0, 9, x.shape)
    elif kind == "grey":
        x = rng.random(x.shape)
    elif kind == "constant":
        x = np.full(x.shape, 0.3)
    elif kind == "far":
        x += 2.0**60
    types = [np.float64] * 8 + [np.float32, np.float16, np.uint8, bool, complex, "U", ">f4"]
    with np.errstate(all="ignore"):
        return x.astype(pick(rng, types))


def labels(rng: Rng, n: int) -> np.ndarray:
    """Class names or numbers."""
    kinds = [rng.integers(0, pick(rng, [1, 2, 2, 3, 3, 5]), n)] * 4
    kinds += [
        np.array([pick(rng, CLASSES[:5]) for _ in range(n)], "U"),
        np.array([pick(rng, CLASSES) for _ in range(n)], "U"),
        rng.integers(-1, 2, n),
        rng.integers(0, 2, n).astype(float),
        rng.normal(size=n),
        rng.integers(0, 2, n).astype(bool),
        np.where(rng.random(n) < 0.5, np.nan, 1.0),
    ]
    return pick(rng, kinds)


def npz_file(rng: Rng, folder: Path) -> Path:
    n = int(pick(rng, [0, 1, 2, 5, 12, *[24] * 8, *[40] * 4]))
    arrays: dict[str, Any] = {"x": features(rng, n), "y": labels(rng, n)}
    if rng.random() < 0.15:
        arrays["ids"] = pick(rng, [np.arange(n), np.zeros(n), np.arange(n).astype(str), 3])
    if rng.random() < 0.05:
        arrays["feature_names"] = pick(rng, [np.array(["a", "b"]), np.arange(3), "a"])
    if rng.random() < 0.05:
        arrays.pop(pick(rng, ["x", "y"]))
    if rng.random() < 0.05:
        arrays["y"] = pick(rng, [np.zeros((n, 2)), np.zeros(n + 1, int), np.array(None, object)])
    path = folder / pick(rng, ["d.npz", "d.npz", "é d.npz", "[red].npz", "D.NPZ"])
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return damaged(rng, path)


def damaged(rng: Rng, path: Path) -> Path:
    """The file, now and then cut or with bytes turned."""
    raw = bytearray(path.read_bytes())
    if rng.random() < 0.06 and raw:
        if rng.random() < 0.5:
            raw = raw[: int(rng.integers(len(raw)))]
        else:
            for place in rng.integers(len(raw), size=4):
                raw[place] = int(rng.integers(256))
        path.write_bytes(bytes(raw))
    return path


def cell(rng: Rng) -> str:
    odd = ["", "x", "nan", "1e999", "-999", '"1,5"', "1 2", "0x10", "é", "1_000", "  3 "]
    return pick(rng, odd) if rng.random() < 0.004 else f"{rng.normal():.3g}"


def csv_file(rng: Rng, folder: Path) -> Path:
    n, width = int(pick(rng, [0, 1, 2, 8, *[24] * 8, 40, 40])), int(rng.integers(1, 5))
    start = NAMES[3:7] if rng.random() < 0.3 else []
    names = [*([pick(rng, start)] if start else []), *rng.permutation(NAMES[:3])[:width]]
    if rng.random() < 0.15:
        names.append(pick(rng, NAMES))
    where = int(rng.integers(len(names) + 1))
    names.insert(where, "label" if rng.random() < 0.95 else "target")
    own = labels(rng, n)
    lines = [",".join(names)]
    for row in range(n):
        cells = [str(row) if name in NAMES[3:7] else cell(rng) for name in names]
        cells[where] = f'"{own[row]}"'
        if rng.random() < 0.002:
            cells = cells[:-1]
        lines.append(",".join(cells))
    text = pick(rng, ["\n"] * 5 + ["\r\n", "\n\n"]).join(lines)
    path = folder / pick(rng, ["t.csv", "t.csv", "[b] é.csv"])
    path.write_bytes(text.encode(pick(rng, ["utf-8"] * 6 + ["utf-8-sig", "latin-1", "utf-16"])))
    return damaged(rng, path)


def scores_file(rng: Rng, folder: Path, n: int) -> Path:
    count = n if rng.random() < 0.85 else int(rng.integers(0, n + 3))
    values = pick(
        rng,
        [rng.normal(size=count)] * 3
        + [
            rng.integers(0, 2, count),
            np.zeros(count),
            rng.normal(size=(count, 2)),
            np.full(count, np.nan),
        ],
    )
    kind = pick(rng, ["npy", "npz", "csv", "ids", "txt"])
    path = folder / f"scores.{'csv' if kind == 'ids' else kind}"
    if kind == "npy":
        np.save(path, values)
    elif kind == "npz":
        np.savez(path, **{pick(rng, ["scores"] * 5 + ["mask"]): values})
    else:
        flat = np.atleast_2d(values.T).T
        rows = [",".join(map(str, row)) for row in flat]
        if kind == "ids":
            rows = [f"{i},{row}" for i, row in enumerate(rows)]
        header = pick(rng, {"ids": ["id,scores", "id,score", "i,j"]}.get(kind, ["scores", "", "a"]))
        path.write_text("\n".join([*([header] if header else []), *rows]))
    return damaged(rng, path)


def options(rng: Rng, folder: Path) -> list[str]:
    """Options of ``prune``, mostly in range."""
    drawn: dict[str, list[str]] = {
        "--keep-fraction": ["0.3", "0.5", "0.2", "1", "0.9", "0.1", "1.5", "nan", "x", "1e-9"],
        "--protocol": [
            *PROTOCOLS,
            *PROTOCOLS,
            "exat",
            "soft:2",
            "piecewise:1:0.3:1",
            "piecewise:x",
        ],
        "--exploit": ["0.5", "0", "1", "0.2", "2", "nan"],
        "--keep": ["hardest", "easiest", "hard"],
        "--score": [*SCORES, *SCORES, "el3n"],
        "--probe": ["in-sample", "pilot", "in-sample", "pilot:0.5", "pilot:0.01", "fixed:1"],
        "--probe-ridge": ["0.01", "10", "1e-12", "1e12", "0"],
        "--scale": ["auto", "common", "per-feature", "none", "x"],
        "--balance": ["none", "equal", "proportional", "x"],
        "--seed": ["0", "1", "4294967295", "-1", "x"],
        "--label-column": ["label", "y", "target", "a", "é"],
        "--id-column": ["id", "none", "index", "a", "ids"],
        "--drop": ["a", "b,id", "label", ","],
    }
    found: list[str] = []
    for name, values in drawn.items():
        often = 0.08 if name in ("--label-column", "--id-column", "--drop") else 0.3
        if rng.random() < often:
            most = len(values) if rng.random() < 0.1 else len(values) // 2 + 1
            found += [name, pick(rng, values[:most])]
    if rng.random() < 0.7:
        places = ["out.npz"] * 30 + [
            "d.npz",
            "t.csv",
            "none/x.npz",
            "x.txt",
            "link.npz",
            "held.npz",
        ]
        found += ["--out", str(folder / pick(rng, places))]
        found += ["--force"] * (rng.random() < 0.5)
    return found


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


def command_case(rng: Rng, folder: Path) -> str:
    """One command on one set of files; returns how it ended."""
    path = (npz_file if rng.random() < 0.5 else csv_file)(rng, folder)
    if rng.random() < 0.1:
        os.link(path, folder / "held.npz")
        os.symlink(path, folder / "link.npz")
    line = ["prune", str(path), *options(rng, folder)]
    if rng.random() < 0.15:
        line += ["--scores", str(scores_file(rng, folder, 24))]
    if rng.random() < 0.04:
        quick = ["--model", "logistic", "--epochs", "1", "--batch-size", "8"]
        line = [pick(rng, ["score", "train"]), str(path), *quick]
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
    return line[0]


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
            if kind < 0.55:
                return command_case(rng, folder)
            if kind < 0.75:
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
