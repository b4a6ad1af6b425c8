"""Is there anything in these data to learn, and do a few values spoil it?"""

from __future__ import annotations

import numpy as np

from nfl_pruning.data.dataset import Dataset
from nfl_pruning.validation import format_number

FAR = 50.0  # times the width of a column's middle 80 %: far out
CODES = tuple(sign * float("9" * digits) for digits in range(3, 8) for sign in (-1, 1))
CODE_FAR = 3.0  # the same for numbers that often stand for missing values
SAMPLE = 2000  # rows that the middle of a column is taken from
NAMED = 5  # rows named in a sentence


def accuracy_sentence(what: str, accuracy: float | None, largest: float) -> str:
    """Accuracy on rows that were not seen, beside what guessing the largest class gives."""
    if accuracy is None or not np.isfinite(accuracy):
        return f"{what} has no accuracy on rows it has not seen."
    return (
        f"{what} is right on {100 * accuracy:.1f} % of rows it has not seen; the largest class "
        f"has {100 * largest:.1f} %."
    )


def chance_notes(accuracy: float | None, largest: float, rows: int) -> list[str]:
    """A warning where the accuracy is hardly above the largest class's share.

    Args:
        accuracy: on rows that were not seen; None where there were none.
        largest: share of the largest class.
        rows: how many rows the accuracy was measured on.
    """
    if accuracy is None:
        return []
    noise = 2 * np.sqrt(largest * (1 - largest) / max(rows, 1))
    if np.isfinite(accuracy) and accuracy > largest + max(noise, 0.1 * (1 - largest)):
        return []
    return [
        f"The model that scores is near chance on rows it has not seen ({100 * accuracy:.1f} %, "
        f"largest class {100 * largest:.1f} %): its scores say little about these data. Look at "
        "the features, their scale and the labels."
    ]


def largest_share(y: np.ndarray) -> float:
    """Share of the largest class among class codes."""
    return float(np.bincount(y).max() / len(y))


def far_out_notes(dataset: Dataset) -> list[str]:
    """A sentence that names rows with values far outside the rest, if there are any."""
    n = len(dataset)
    sample = dataset.x[np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(int))]
    ends = float(dataset.x.max()), -float(dataset.x.min())  # without a copy of the data
    unit = max(*ends, np.finfo(float).tiny)
    middle, low, high = _middle(sample.astype(np.float64) / unit, pooled=dataset.is_image)
    count, first, place = 0, [], 0
    for start in range(0, n, SAMPLE):
        block = dataset.x[start : start + SAMPLE]
        distance = np.abs(block / unit - middle)
        width = high - low
        far = distance > FAR * width
        far |= np.isin(block, CODES) & (distance > CODE_FAR * width)
        far &= distance > 0
        rows = np.flatnonzero(far.any(axis=1))
        count += len(rows)
        if len(rows) and not first:
            place = int(far[rows[0]].argmax())
        first += (start + rows[: NAMED - len(first)]).tolist()
    if not count:
        return []
    value = format_number(dataset.x[first[0], place])
    where = dataset.features[place] if dataset.features else str(place)
    bounds = (
        format_number(float(f"{unit * end[min(place, len(end) - 1)]:.4g}")) for end in (low, high)
    )
    named = ", ".join(dataset.name_of_row(row) for row in first)
    return [
        f"{count} of {n} rows hold values far outside the rest: {named}"
        f"{', ...' * (count > NAMED)}. "
        f"The first has {value} in feature {where}, of which the middle 80 % lie in "
        f"[{', '.join(bounds)}]. Such values stretch the scale of all others; are they codes for "
        "missing values?"
    ]


def _middle(x: np.ndarray, *, pooled: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median and ends of the middle 80 % of each column (of all pixels), shape (d,) or (1,).

    Where more than 80 % of a column are one value, the ends are those of its other values.
    """
    if pooled:
        x = x.reshape(-1, 1)
    middle, low, high = np.quantile(x, [0.5, 0.1, 0.9], axis=0)
    for place in np.flatnonzero(low == high):
        others = x[x[:, place] != middle[place], place]
        if len(others):
            reach = 20 * float(np.median(np.abs(others - middle[place])))
            low[place], high[place] = middle[place] - reach / 2, middle[place] + reach / 2
    return middle, low, high
