"""Random files, arrays and options for the fuzzing: fitting ones, or ones with something odd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning import SCORES

NAMES = ["a", "b", "width", "id", "index", "Unnamed: 0", "", "x y", "label", "é", "[/b]", "user_id"]
CLASSES = ["0", "1", "-1", "cat", "[/red]", "naïve", "2", "nan", " x ", ":smile:", "a,b", "True"]
PROTOCOLS = ["threshold", "exact", "soft:0.5", "random", "window:0.1", "coverage:0.1", "power:1"]
LINEAR = ["el2n", "margin", "loss", "entropy", "least-confidence", "grand", "prototypicality"]
SIZES = [24, 40]  # rows of files in which nothing is odd

Rng = np.random.Generator


def pick(rng: Rng, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def features(rng: Rng, n: int, *, odd: bool = True) -> np.ndarray:
    """A table or images, of a usual or of an unusual kind."""
    shapes = [(1,), (3,), (4,), (6,), (4, 4), (4, 4, 3), (1, 5, 5), (0,), (2, 1)]
    if not odd:
        x = rng.normal(size=(n, *pick(rng, [(3,), (4,), (6,), (4, 4), (4, 4, 3)])))
        kinds = [x, x, x + 2.0**40, x * 1e200, rng.integers(0, 9, x.shape), rng.random(x.shape)]
        return pick(rng, kinds)
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


def labels(rng: Rng, n: int, *, odd: bool = True) -> np.ndarray:
    """Class names or numbers."""
    if not odd:
        codes = rng.permutation(np.arange(n) % pick(rng, [2, 2, 3]))
        return pick(rng, [codes, codes - 1, codes > 0, np.array(CLASSES[:5])[codes]])
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


def damaged(rng: Rng, path: Path, *, odd: bool = True) -> Path:
    """The file, now and then cut or with bytes turned."""
    raw = bytearray(path.read_bytes())
    if odd and rng.random() < 0.06 and raw:
        if rng.random() < 0.5:
            raw = raw[: int(rng.integers(len(raw)))]
        else:
            for place in rng.integers(len(raw), size=4):
                raw[place] = int(rng.integers(256))
        path.write_bytes(bytes(raw))
    return path


def npz_file(rng: Rng, folder: Path, *, odd: bool = True) -> Path:
    n = int(pick(rng, [0, 1, 2, 5, 12, *[24] * 8, *[40] * 4] if odd else SIZES))
    arrays: dict[str, Any] = {"x": features(rng, n, odd=odd), "y": labels(rng, n, odd=odd)}
    if odd and rng.random() < 0.15:
        arrays["ids"] = pick(rng, [np.arange(n), np.zeros(n), np.arange(n).astype(str), 3])
    if odd and rng.random() < 0.05:
        arrays["feature_names"] = pick(rng, [np.array(["a", "b"]), np.arange(3), "a"])
    if odd and rng.random() < 0.05:
        arrays.pop(pick(rng, ["x", "y"]))
    if odd and rng.random() < 0.05:
        arrays["y"] = pick(rng, [np.zeros((n, 2)), np.zeros(n + 1, int), np.array(None, object)])
    path = folder / pick(rng, ["d.npz", "d.npz", "é d.npz", "[red].npz", "D.NPZ"])
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return damaged(rng, path, odd=odd)


def cell(rng: Rng, *, odd: bool) -> str:
    kinds = ["", "x", "nan", "1e999", "-999", '"1,5"', "1 2", "0x10", "é", "1_000", "  3 "]
    return pick(rng, kinds) if odd and rng.random() < 0.004 else f"{rng.normal():.3g}"


def csv_file(rng: Rng, folder: Path, *, odd: bool = True) -> Path:
    n = int(pick(rng, [0, 1, 2, 8, *[24] * 8, 40, 40] if odd else SIZES))
    start = NAMES[3:7] if rng.random() < 0.3 else []
    width = int(rng.integers(1, 5))
    names = [*([pick(rng, start)] if start else []), *rng.permutation(NAMES[:3])[:width]]
    if odd and rng.random() < 0.15:
        names.append(pick(rng, NAMES))
    where = int(rng.integers(1 if names[0] == "" and not odd else 0, len(names) + 1))
    names.insert(where, "target" if odd and rng.random() < 0.05 else "label")
    own = labels(rng, n, odd=odd)
    lines = [",".join(names)]
    for row in range(n):
        cells = [str(row) if name in NAMES[3:7] else cell(rng, odd=odd) for name in names]
        cells[where] = f'"{own[row]}"'
        if odd and rng.random() < 0.002:
            cells = cells[:-1]
        lines.append(",".join(cells))
    text = pick(rng, ["\n"] * 5 + ["\r\n", "\n\n"]).join(lines)
    path = folder / pick(rng, ["t.csv", "t.csv", "[b] é.csv"])
    codes = ["utf-8"] * 6 + ["utf-8-sig"] + ["latin-1", "utf-16"] * odd
    path.write_bytes(text.encode(pick(rng, codes)))
    return damaged(rng, path, odd=odd)


def scores_file(rng: Rng, folder: Path, n: int, *, odd: bool = True) -> Path:
    count = n if not odd or rng.random() < 0.85 else int(rng.integers(0, n + 3))
    values = rng.normal(size=count)
    if odd:
        others = [rng.integers(0, 2, count), np.zeros(count), rng.normal(size=(count, 2))]
        values = pick(rng, [values] * 3 + [*others, np.full(count, np.nan)])
    kind = pick(rng, ["npy", "npz", "csv", "ids", *["txt"] * odd])
    path = folder / f"scores.{'csv' if kind == 'ids' else kind}"
    if kind == "npy":
        np.save(path, values)
    elif kind == "npz":
        named: dict[str, Any] = {pick(rng, ["scores"] * 5 + ["mask"] * odd): values}
        np.savez(path, **named)
    else:
        flat = np.atleast_2d(values.T).T
        rows = [",".join(map(str, row)) for row in flat]
        if kind == "ids":
            rows = [f"{i},{row}" for i, row in enumerate(rows)]
        headers = {"ids": ["id,scores", "id,score", *["i,j"] * odd]}.get(kind, ["scores", "", "a"])
        header = pick(rng, headers)
        path.write_text("\n".join([*([header] if header else []), *rows]))
    return damaged(rng, path, odd=odd)


FITTING: dict[str, list[str]] = {
    "--keep-fraction": ["0.3", "0.5", "0.2", "1", "0.9"],
    "--protocol": [*PROTOCOLS, "piecewise:1:0.3:1"],
    "--exploit": ["0.5", "0", "0.2"],
    "--keep": ["hardest", "easiest"],
    "--score": LINEAR,
    "--probe": ["in-sample", "pilot", "pilot:0.5"],
    "--probe-ridge": ["0.01", "10", "1e-3"],
    "--scale": ["auto", "common", "per-feature"],
    "--balance": ["none", "equal", "proportional"],
    "--seed": ["0", "1", "4294967295"],
}
"""Options of ``prune`` that fit most data and most of each other."""
ODD: dict[str, list[str]] = {
    "--keep-fraction": ["0.1", "1.5", "nan", "x", "1e-9"],
    "--protocol": ["exat", "soft:2", "piecewise:x"],
    "--exploit": ["1", "2", "nan"],
    "--keep": ["hard"],
    "--score": [*SCORES, "el3n"],
    "--probe": ["pilot:0.01", "fixed:1"],
    "--probe-ridge": ["1e-12", "1e12", "0"],
    "--scale": ["none", "x"],
    "--balance": ["x"],
    "--seed": ["-1", "x"],
    "--label-column": ["label", "y", "target", "a", "é"],
    "--id-column": ["id", "none", "index", "a", "ids"],
    "--drop": ["a", "b,id", "label", ","],
}


def options(rng: Rng, *, odd: bool, without: tuple[str, ...] = ()) -> list[str]:
    """Options of ``prune``; where odd, a few that are out of range or name what is not there."""
    found: list[str] = []
    for name, values in FITTING.items():
        if name not in without and rng.random() < 0.3:
            found += [name, pick(rng, values)]
    if odd:
        for name in rng.choice(list(ODD), size=int(rng.integers(1, 3)), replace=False):
            found += [str(name), pick(rng, ODD[name])]
    return found


def places(rng: Rng, folder: Path, *, odd: bool) -> list[str]:
    """Where to write to, if anywhere: a file of the folder, and with --force perhaps."""
    if rng.random() < 0.3:
        return []
    others = ["d.npz", "t.csv", "none/x.npz", "x.txt", "link.npz", "held.npz"]
    name = pick(rng, ["out.npz"] * 10 + others) if odd else "out.npz"
    return ["--out", str(folder / name), *["--force"] * (rng.random() < 0.5)]


def comparison(rng: Rng, folder: Path, *, odd: bool) -> list[str]:
    """Options of ``compare`` for data of 24 or 40 rows, the fastest that there are."""
    drawn: dict[str, list[str]] = {
        "--score": ["el2n", "margin", "loss,el2n", "aum", "forgetting", *["el3n", "el2n,"] * odd],
        "--protocol": ["exact", "threshold,exact", "coverage:0.1", *["power:1", "exat"] * odd],
        "--keep": ["easiest", "hardest,easiest", *["hard"] * odd],
        "--exploit": ["0", "0.2", "1", *["2"] * odd],
        "--balance": ["equal", "proportional", *["x"] * odd],
        "--validation": ["0.3", *["1"] * odd],
        "--label-noise": ["0.2", *["2"] * odd],
        "--imbalance": ["2", *["0", "nan"] * odd],
        "--n-train": ["12", *["9999", "0"] * odd],
        "--epoch": ["1", *["9", "x"] * odd],
        "--budget": ["steps", *["time"] * odd],
    }
    found = ["--model", "logistic", "--epochs", "1", "--batch-size", "8", "--repeats", "2"]
    found += ["--keep-fraction", "0.5", "--records", str(folder / "records")]
    for name, values in drawn.items():
        if rng.random() < 0.2:
            found += [name, pick(rng, values)]
    if rng.random() < 0.2:
        name = pick(rng, ["plot.png", *["held.npz", "held.png", "none/p.png", "p.txt"] * odd])
        found += ["--plot", str(folder / name)]
    return found
