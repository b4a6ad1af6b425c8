"""What the theory expects of the policies that networks try: exact limits of a like problem.

The problem has the signal and the alignment that docs/networks.md measures for T-shirts and shirts
on frozen features, isotropic inputs of 100 samples a feature (12,000 images of two classes in about
120 directions), and a small ridge. Networks are no such fit: what is compared is the order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nfl_pruning import (
    Problem,
    Student,
    Teacher,
    best_numbers,
    make_selection,
    optimal_rule,
    solve,
)
from nfl_pruning.probes import FixedProbe

SIGNAL, ALIGNMENT, SAMPLES_PER_FEATURE, RIDGE = 4.26, 0.943, 100.0, 1e-3

POLICIES = [
    ("random", 0.5, "hardest"),
    ("threshold", 1.0, "hardest"),
    ("exact", 0.05, "hardest"),
    ("exact", 0.5, "hardest"),
    ("clipped:4", 0.2, "hardest"),
    ("soft:0", 0.1, "hardest"),
    ("soft:0", 0.5, "hardest"),
    ("soft:0", 0.9, "hardest"),
    ("middle:0.1:0", 0.5, "hardest"),
    ("middle:0.3:0", 0.5, "hardest"),
    ("middle:0.5:0", 0.5, "hardest"),
    ("threshold", 1.0, "easiest"),
    ("soft:0", 0.5, "easiest"),
]


def problem_at(fraction: float) -> Problem:
    """The problem at a keep fraction; its selection is that of the best numbers' search."""
    return Problem(
        samples_per_feature=SAMPLES_PER_FEATURE,
        keep_fraction=fraction,
        score="el2n",
        selection=make_selection("soft:0.5", exploit=0.5),
        teacher=Teacher(signal=SIGNAL),
        probe=FixedProbe(ALIGNMENT),
        student=Student(ridge=RIDGE),
    )


def limit(fraction: float, policy: list[Any]) -> dict[str, Any]:
    """The limit of one policy."""
    protocol, exploit, keep = policy
    rule = make_selection(protocol, exploit=exploit)
    found = solve(problem_at(fraction).replace(selection=rule, keep=keep))
    return {"test_error": found.test_error, "status": found.status}


def best(fraction: float) -> dict[str, Any]:
    """The best numbers of soft calibration, and the best rule of the probe's margin."""
    problem = problem_at(fraction)
    numbers = best_numbers(problem, over=("exploit", "exponent"))
    rule = optimal_rule(problem, weights=False, bins=20, starts=1)
    return {
        "numbers": numbers.numbers,
        "numbers_error": numbers.value,
        "rule_error": rule.value,
        "edges": rule.edges.tolist(),
        "keep": rule.keep.tolist(),
    }


def expectations(once: Callable[..., dict[str, Any]], fractions: list[float]) -> None:
    """All limits, each a record.

    Args:
        once: takes a kind, what computes it, and what names it; keeps the result.
        fractions: kept.
    """
    about = {"signal": SIGNAL, "alignment": ALIGNMENT, "ridge": RIDGE}
    about |= {"samples_per_feature": SAMPLES_PER_FEATURE}
    for fraction in fractions:
        for policy in POLICIES:

            def compute(r: float = fraction, one: Any = policy) -> dict[str, Any]:
                return limit(r, one)

            once("theory", compute, fraction=fraction, policy=list(policy), **about)
    for fraction in fractions:  # these take minutes
        once("best", lambda r=fraction: best(r), fraction=fraction, **about)
