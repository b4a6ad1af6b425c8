"""Decisions under uncertainty: sequential stopping, and which rules beat random pruning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.montecarlo.estimates.simulation import (
    LARGER_IS_BETTER,
    OBSERVABLES,
    Simulation,
    paired,
)
from nfl_pruning.numerics.holm import holm
from nfl_pruning.validation import check_choice, check_number

Until = tuple[str, float]
FIRST_LOOK, GROWTH = 32, 1.5


def check_until(until: Until | None, names: Sequence[str] = OBSERVABLES) -> Until | None:
    """A stopping rule (observable, standard error) with its parts checked."""
    if until is None:
        return None
    name, error = until
    check_choice("observable", name, names)
    return name, check_number("until standard error", error, "(0, inf)")


def looks(n_trials: int, until: Until | None) -> Iterator[int]:
    """Numbers of trials at which to look at the standard error; the last is ``n_trials``.

    Looks are rare (each half as far again) and the first comes late, because the estimate of a
    standard error that happens to be small is what stops a run: the error given at the stop is
    too small by a few percent at 32 trials, and by less later.
    """
    look = float(FIRST_LOOK)
    while until and look < n_trials:
        yield int(look)
        look *= GROWTH
    yield n_trials


@dataclass(frozen=True)
class TrialsVerdict:
    """Whether a rule beats random pruning, by trials on the same samples.

    Attributes:
        difference: mean of rule minus random.
        standard_error: of that mean, paired.
        p_value: two-sided, from the t distribution, adjusted by Holm for the whole family; NaN
            when trials failed.
        verdict: ``"better"``, ``"worse"`` or ``"undecided"``.
    """

    difference: float
    standard_error: float
    p_value: float
    verdict: str


def beats_random(
    family: Mapping[str, Simulation],
    random: Simulation,
    name: str,
    *,
    level: float = 0.05,
) -> dict[str, TrialsVerdict]:
    """Compare every rule of a family, declared before looking, with random pruning.

    Args:
        family: simulations of the rules, on the same samples as ``random``. All of them enter the
            correction, so the chance that any verdict is wrong is at most ``level``.
        random: the simulation of random pruning.
        name: an observable with a better end: any but ``norm`` and ``calibration_slope``.
        level: chance of a false claim that is accepted, in (0, 1).

    Raises:
        InvalidArgumentError: the simulations do not share their samples, or an argument is wrong.
    """
    check_choice("observable", name, LARGER_IS_BETTER)
    check_number("level", level, "(0, 1)")
    if not family:
        raise InvalidArgumentError("beats_random needs at least one rule; got none.")
    sign = 1 if LARGER_IS_BETTER[name] else -1
    differences = {rule: paired(simulation, random, name) for rule, simulation in family.items()}
    degrees = random.n_trials - 1
    raw = [_two_sided(*pair, degrees) for pair in differences.values()]
    verdicts = {}
    for (rule, (mean, error)), p in zip(differences.items(), holm(raw), strict=True):
        better = "better" if sign * mean > 0 else "worse"
        word = better if p <= level else "undecided"  # also where p is NaN
        verdicts[rule] = TrialsVerdict(mean, error, float(p), word)
    return verdicts


def _two_sided(mean: float, error: float, degrees: int) -> float:
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, degrees))
