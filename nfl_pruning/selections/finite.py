"""Selections on a finite sample: which rows stay, with which weights, decided by a key."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.kernels.order import ordered_integers, random_integers, take_largest
from nfl_pruning.keys import check_key
from nfl_pruning.scores.checks import as_numbers, is_at_hand
from nfl_pruning.selections.base import (
    ENDS,
    PropensitySelection,
    RankSelection,
    Selection,
    Stratum,
    ValueSelection,
    make_selection,
)
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_choice, check_number


class Counts(NamedTuple):
    """A stratum in whole numbers: ``size`` samples, of which ``kept`` stay with ``weight``."""

    size: int
    kept: int
    weight: float


class Selected(NamedTuple):
    """The outcome for n samples.

    Attributes:
        indices: rows that stay, increasing, shape (kept,).
        weights: one entry a sample, 0 for dropped rows, shape (n,). They are those of the band
            that a row was drawn into, so that under exact calibration the expected weight of every
            row is 1, tied or not, and the weights sum to n in every draw.
        keep_probabilities: chance that each row had to stay, given the scores alone, shape (n,):
            rows that tie have the same, mixed over the bands that they share. Off ties an inverse
            keep probability is the weight of exact calibration; of a row whose tie is divided
            between bands it is another unbiased weight.
    """

    indices: np.ndarray
    weights: np.ndarray
    keep_probabilities: np.ndarray


def _round(value: float) -> int:
    """floor(value + 1/2), the rounding of every count; robust to the last bit of r * n."""
    return int(np.floor(value + 0.5 + 1e-9))


def realised_counts(strata: tuple[Stratum, ...], n_samples: int) -> tuple[Counts, ...]:
    """Whole-number strata: cumulative sizes and cumulative kept counts are each rounded once.

    Hence the total kept is floor(r n + 1/2) exactly, and a weight uses what was really kept.

    Raises:
        InvalidArgumentError: nothing would be kept, or a band to explore would yield no sample.
    """
    counts, edge, kept_edge, share, kept_share = [], 0, 0, 0.0, 0.0
    wanted = _round(n_samples * sum(s.share * s.keep_probability for s in strata))
    for stratum in strata:
        share += stratum.share
        kept_share += stratum.share * stratum.keep_probability
        size = min(_round(share * n_samples), n_samples) - edge
        kept = min(max(_round(kept_share * n_samples) - kept_edge, 0), size)
        to_explore = stratum.keep_probability and stratum.weight_exponent
        if kept == 0 and size and to_explore and wanted:
            raise InvalidArgumentError(
                f"no sample is left to explore: {kept_share * n_samples:.3g} of {n_samples} "
                "samples are kept; lower exploit or raise keep_fraction."
            )
        ratio = size / kept if kept else 0.0
        weight = stratum.factor * ratio**stratum.weight_exponent if kept else 0.0
        counts.append(Counts(size, kept, weight))
        edge, kept_edge = edge + size, kept_edge + kept
    if kept_edge < 1:
        raise InvalidArgumentError(
            f"keep_fraction {kept_share:g} of {n_samples} samples keeps fewer than one sample."
        )
    return tuple(counts)


def band_weights(
    key: Array, rank_key: Array, counts: tuple[Counts, ...], keep: str
) -> tuple[Array, Array]:
    """Weights of a rank selection, and keep probabilities of the bands drawn; each shape (n,).

    Counts may be whole numbers, which spares the work of bands that stay or go as a whole, or
    traced values.

    Args:
        key: PRNG key; split between tie-breaking and exploration.
        rank_key: difficulty, shape (n,), larger = harder.
        counts: from :func:`realised_counts`.
        keep: ``"hardest"`` or ``"easiest"``: which end comes first.
    """
    key_ties, key_explore = jax.random.split(key)
    ties, lots = (random_integers(k, rank_key.shape) for k in (key_ties, key_explore))
    priority = ordered_integers(rank_key if keep == "hardest" else -rank_key)
    left = jnp.ones(rank_key.shape, bool)
    weights = probabilities = jnp.zeros_like(rank_key)
    for number, (size, kept, weight) in enumerate(counts):
        last = number == len(counts) - 1
        band = left if last else take_largest((priority, ties), jnp.asarray(size), left)
        if isinstance(kept, int) and kept in (0, size):
            chosen = band & (kept > 0)
        else:
            chosen = take_largest((lots,), jnp.asarray(kept), band)
        weights = jnp.where(chosen, weight, weights)
        probabilities = jnp.where(band, kept / jnp.maximum(size, 1), probabilities)
        left = left & ~band
    return weights, probabilities


def rank_probabilities(rank_key: np.ndarray, counts: tuple[Counts, ...], keep: str) -> np.ndarray:
    """Chance of every row to be kept, given the scores, shape (n,).

    Rows that tie come in a random order, so each has the mean of the chances of the places in the
    order that they share.

    Args:
        rank_key: difficulty, shape (n,), larger = harder.
        counts: from :func:`realised_counts`.
        keep: ``"hardest"`` or ``"easiest"``: which end comes first.
    """
    priority = -rank_key if keep == "hardest" else rank_key
    order = np.argsort(priority)
    ordered = priority[order]
    first, last = np.empty((2, len(order)), int)
    first[order] = np.searchsorted(ordered, ordered, side="left")  # in order: memory is near
    last[order] = np.searchsorted(ordered, ordered, side="right")
    bands = [band for band in counts if band.size]
    edges = np.concatenate([[0], np.cumsum([band.size for band in bands])])
    chance = np.array([band.kept / band.size for band in bands])
    kept = np.concatenate([[0], np.cumsum([band.kept for band in bands])])
    total = np.interp(last, edges, kept) - np.interp(first, edges, kept)
    band = np.searchsorted(edges, first, side="right") - 1
    whole = last <= edges[band + 1]  # no rounding where no tie is divided
    return np.where(whole, chance[band], total / (last - first))


# Sizes are data here, not shapes, so that one compiled program serves every keep fraction.
rank_weights = jax.jit(band_weights, static_argnames="keep")


def propensity_probabilities(log_propensity: Array, keep_fraction: float) -> Array:
    """min(1, c exp(log_propensity)) with c set so that the mean is ``keep_fraction``; shape (n,).

    The clipped sum is piecewise linear in c: with the k largest clipped, c is
    (r n - k) / (sum of the others), and the smallest k for which the next one stays below 1 is it.
    """
    count = keep_fraction * log_propensity.shape[0]
    descending = jnp.sort(log_propensity)[::-1]
    log_tails = jax.lax.cumlogsumexp(descending, reverse=True)  # sums that do not underflow
    left = jnp.maximum(count - jnp.arange(len(descending)), 0)
    log_factors = jnp.log(left) - log_tails
    clipped = jnp.argmax(log_factors + descending <= 1e-6)
    return jnp.exp(jnp.minimum(0.0, log_factors[clipped] + log_propensity))


@jax.jit
def propensity_weights(
    key: Array, log_propensity: Array, keep_fraction: float
) -> tuple[Array, Array]:
    """Weights (1 or 0) and keep probabilities of a propensity selection, each of shape (n,)."""
    probabilities = propensity_probabilities(log_propensity, keep_fraction)
    draws = jax.random.uniform(key, probabilities.shape, probabilities.dtype)
    return (draws < probabilities).astype(probabilities.dtype), probabilities


@with_own_settings
def select(
    key: Array,
    rank_key: ArrayLike,
    keep_fraction: float,
    *,
    keep: str = "hardest",
    selection: str | Selection = "threshold",
    exploit: float = 0.5,
) -> Selected:
    """Choose which of n scored samples to keep, and with which weights.

    Args:
        key: a ``jax.random.key``; the same key gives the same subset.
        rank_key: difficulty of each sample, shape (n,), larger = harder: ``score.rank_key(...)``,
            or any increasing function of it. A propensity selection takes its own base's, a value
            selection the score in the units of the literature.
        keep_fraction: share of samples to keep, in (0, 1]; exactly floor(r n + 1/2) stay under a
            rank selection, that many on average under a propensity selection.
        keep: which end of the order comes first, ``"hardest"`` or ``"easiest"``.
        selection: a protocol's text form or object.
        exploit: exploitation share of the calibrated protocols, in [0, 1].

    Raises:
        InvalidArgumentError: a value is out of range, scores are not finite, or nothing is kept.
    """
    key = check_key(key)
    keep_fraction = check_number("keep_fraction", keep_fraction, "(0, 1]")
    check_choice("keep", keep, ENDS)
    selection = make_selection(selection, exploit=exploit)
    if not is_at_hand(rank_key):
        raise InvalidArgumentError("select needs scores at hand, not values that JAX traces.")
    host = np.asarray(as_numbers("scores", rank_key))
    if host.ndim != 1 or not len(host):
        raise InvalidArgumentError(f"scores must be a vector of n numbers; got shape {host.shape}.")
    bad = int(np.size(host) - np.isfinite(host).sum())
    if bad:
        raise InvalidArgumentError(f"scores must be finite; {bad} of {len(host)} are not.")
    if isinstance(selection, ValueSelection):
        weights, probabilities = selection.choose(key, host.astype(np.float64), keep_fraction)
        return Selected(np.flatnonzero(weights), weights, probabilities)
    with jax.enable_x64(True):
        values = jnp.asarray(host.astype(np.float64))
        if isinstance(selection, RankSelection):
            counts = realised_counts(selection.strata(keep_fraction), len(host))
            weights, _ = rank_weights(key, values, counts, keep)
            probabilities = rank_probabilities(host.astype(np.float64), counts, keep)
        elif isinstance(selection, PropensitySelection):
            if keep_fraction * len(host) < 1:
                raise InvalidArgumentError(
                    f"keep_fraction {keep_fraction:g} of {len(host)} samples keeps fewer than one "
                    "sample."
                )
            values = jnp.asarray(selection.log_propensity(values))
            weights, probabilities = propensity_weights(key, values, keep_fraction)
        else:
            raise InvalidArgumentError(
                f"protocol {selection.name!r} has no rule for finite samples."
            )
    weights, probabilities = np.asarray(weights), np.asarray(probabilities)
    return Selected(np.flatnonzero(weights), weights, probabilities)
