"""Class quotas: the budget is divided among classes first, then each class is pruned by itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.keys import check_key
from nfl_pruning.scores.checks import as_numbers
from nfl_pruning.selections.base import ENDS, RankSelection, Selection, make_selection
from nfl_pruning.selections.finite import (
    Counts,
    Selected,
    rank_probabilities,
    rank_weights,
    realised_counts,
)
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_choice, check_number, format_number

BALANCES = ("none", "proportional", "equal")
GIVEN = "given:"  # and a number a class


def check_balance(balance: str) -> str:
    """One of :data:`BALANCES`, or ``given:R_0,R_1,...`` with a number >= 0 for each class.

    Raises:
        InvalidArgumentError: it is neither.
    """
    if not str(balance).startswith(GIVEN):
        return check_choice("balance", balance, (*BALANCES, f"{GIVEN}R_0,R_1,..."))
    ratios = given_ratios(balance)
    return GIVEN + ",".join(format_number(float(ratio)) for ratio in ratios)


def given_ratios(balance: str) -> np.ndarray:
    """The numbers of a ``given:`` balance, one a class, shape (K,), sum > 0.

    Raises:
        InvalidArgumentError: they are not numbers >= 0, fewer than two, or all 0.
    """
    try:
        ratios = np.array([float(part) for part in balance.removeprefix(GIVEN).split(",")])
    except ValueError:
        ratios = np.array([np.nan])
    if len(ratios) < 2 or not np.isfinite(ratios).all() or (ratios < 0).any() or not ratios.any():
        raise InvalidArgumentError(
            f"given quotas are written {GIVEN}R_0,R_1,... with a number >= 0 for each class, not "
            f"all 0; got {balance!r}."
        )
    return ratios


def filled(shares: np.ndarray, ratios: np.ndarray, keep_fraction: float) -> np.ndarray:
    """Keep fractions of classes in given ratios, at most 1, that keep what is asked for in all.

    Args:
        shares: of the classes among all samples, sum 1, shape (C,).
        ratios: of their keep fractions, >= 0, shape (C,).
        keep_fraction: share of all samples to keep.

    Raises:
        InvalidArgumentError: the classes with a ratio > 0 hold fewer samples than that.
    """
    reachable = shares[ratios > 0].sum()
    if keep_fraction > reachable * (1 + 1e-12):
        raise InvalidArgumentError(
            f"the classes of which something is to be kept hold a share {reachable:.6g} of all "
            f"samples; got keep_fraction {keep_fraction:g}."
        )
    full = np.zeros(len(shares), bool)
    while True:
        rest = float(np.sum((shares * ratios)[~full]))
        each = (keep_fraction - float(shares[full].sum())) / rest if rest > 0 else 0.0
        fractions = np.where(full, 1.0, ratios * each)
        if (fractions <= 1 + 1e-15).all():
            return np.minimum(fractions, 1.0)
        full |= fractions > 1


def class_quotas(
    sizes: np.ndarray, keep_fraction: float, balance: str, classes: np.ndarray | None = None
) -> np.ndarray:
    """How many samples each class keeps; the sum is floor(r n + 1/2).

    Args:
        sizes: samples of each class, shape (C,).
        keep_fraction: share of all samples to keep, in (0, 1].
        balance: ``"proportional"``: the same share of every class, rounded by largest remainder;
            ``"equal"``: the same count, and what small classes cannot give is divided among the
            others; ``"given:R_0,R_1,..."``: shares of the classes in these ratios, and all of a
            class whose share would be more, rounded by largest remainder.
        classes: codes of these classes, shape (C,); 0, 1, ... unless given.
    """
    sizes = np.asarray(sizes)
    total = int(np.floor(keep_fraction * sizes.sum() + 0.5 + 1e-9))
    if str(balance).startswith(GIVEN):
        ratios = _of_classes(given_ratios(balance), np.arange(len(sizes)) if classes is None
                             else np.asarray(classes))  # fmt: skip
        share = total / sizes.sum()
        return _rounded(sizes * filled(sizes / sizes.sum(), ratios, share), total)
    check_choice("balance", balance, BALANCES[1:])
    if balance == "proportional":
        return _rounded(sizes * (total / sizes.sum()), total)
    quotas = np.zeros_like(sizes)
    while (left := total - quotas.sum()) > 0:  # fill the emptiest classes that still have samples
        room = np.flatnonzero(quotas < sizes)
        lowest = room[quotas[room] == quotas[room].min()]
        step = min(max(left // len(lowest), 1), int((sizes[lowest] - quotas[lowest]).min()))
        quotas[lowest[: max(left // step, 1)]] += step
    return quotas


def _of_classes(ratios: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The ratios of the classes with these codes."""
    if classes.max(initial=0) >= len(ratios):
        raise InvalidArgumentError(
            f"given quotas must be as many as classes; got {len(ratios)} and class "
            f"{int(classes.max())}."
        )
    return ratios[classes]


def _rounded(wanted: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers with a given sum, by largest remainder."""
    quotas = np.floor(wanted + 1e-9).astype(int)
    first = np.argsort(-(wanted - quotas), kind="stable")
    quotas[first[: total - quotas.sum()]] += 1
    return quotas


@with_own_settings
def select_by_class(
    key: Array,
    rank_key: ArrayLike,
    labels: ArrayLike,
    *,
    keep_fraction: float,
    balance: str = "proportional",
    keep: str = "hardest",
    selection: str | Selection = "threshold",
    exploit: float = 0.5,
) -> Selected:
    """As :func:`nfl_pruning.selections.select`, with a quota for each class.

    Every class is ranked and pruned by itself. Under exact calibration the weights of a class are
    the inverse keep probabilities within it, so the weighted sum over the kept samples is unbiased
    for the sum over all, whatever the quotas. Unweighted protocols with equal quotas change the
    class proportions.

    Args:
        key: typed key; class c uses ``fold_in(key, c)``.
        rank_key: difficulty, shape (n,), larger = harder.
        labels: class codes, shape (n,).
        keep_fraction: share of all samples to keep, in (0, 1].
        balance: see :func:`class_quotas`.
        keep: ``"hardest"`` or ``"easiest"``.
        selection: a rank protocol, as text or object.
        exploit: exploitation share of the calibrated protocols.

    Raises:
        InvalidArgumentError: out of range, or a protocol whose count is left to chance.
    """
    key = check_key(key)
    check_number("keep_fraction", keep_fraction, "(0, 1]")
    rule = make_selection(selection, exploit=exploit)
    check_choice("keep", keep, ENDS)
    scores = np.asarray(as_numbers("scores", rank_key), dtype=np.float64)
    classes = np.asarray(labels)
    if classes.dtype.kind not in "iu" or (classes.size and classes.min() < 0):
        raise InvalidArgumentError(
            "labels must be class codes, whole numbers from 0; got type "
            f"{classes.dtype}, such as {classes.reshape(-1)[:1].tolist()}."
        )
    if scores.shape != classes.shape or scores.ndim != 1:
        raise InvalidArgumentError(
            f"scores and labels must be as long as each other; got {scores.shape} and "
            f"{classes.shape}."
        )
    if not np.isfinite(scores).all():
        raise InvalidArgumentError("scores must be finite; some are not.")
    quotas = check_quotas(classes, keep_fraction, balance=balance, selection=rule)
    assert isinstance(rule, RankSelection)
    names, sizes = np.unique(classes, return_counts=True)
    weights, probabilities = np.zeros(len(scores)), np.zeros(len(scores))
    for name, quota in zip(names, quotas, strict=True):
        if quota:
            rows = np.flatnonzero(classes == name)
            key_class = jax.random.fold_in(key, int(name))
            weights[rows], probabilities[rows] = _select_padded(
                key_class, scores[rows], int(quota), length=sizes.max(), rule=rule, keep=keep
            )
    return Selected(np.flatnonzero(weights), weights, probabilities)


def check_quotas(
    labels: np.ndarray, keep_fraction: float, *, balance: str, selection: Selection
) -> np.ndarray:
    """The quotas of the classes that occur in ``labels``, in their order.

    Raises:
        InvalidArgumentError: the protocol leaves the count to chance or to the scores' values,
            nothing would be kept, or a class would have nothing to explore.
    """
    if not isinstance(selection, RankSelection):
        raise InvalidArgumentError(
            f"class quotas need a protocol that keeps a fixed count by rank; got {selection.label}."
        )
    names, sizes = np.unique(labels, return_counts=True)
    quotas = class_quotas(sizes, keep_fraction, balance, names)
    if not quotas.sum():
        raise InvalidArgumentError(
            f"keep_fraction {keep_fraction:g} of {len(labels)} samples keeps fewer than one sample."
        )
    for size, quota in zip(sizes, quotas, strict=True):
        if quota:
            realised_counts(selection.strata(quota / size), int(size))
    return quotas


def _select_padded(
    key: Array, scores: np.ndarray, quota: int, *, length: int, rule: RankSelection, keep: str
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and keep probabilities of one class, padded so that one program serves all classes.

    The padding comes last in the order, in a stratum of its own of which nothing is kept.
    """
    size = len(scores)
    counts = realised_counts(rule.strata(quota / size), size)
    end = scores.min() if keep == "hardest" else scores.max()
    beyond = end + (1 + abs(end)) * (-1 if keep == "hardest" else 1)  # no tie, nor a denormal
    padded = np.full(length, beyond)
    padded[:size] = scores
    with jax.enable_x64(True):
        strata = (*counts, Counts(int(length - size), 0, 0.0))
        weights = np.asarray(rank_weights(key, jnp.asarray(padded), strata, keep)[0])[:size]
    return weights, rank_probabilities(scores, counts, keep)
