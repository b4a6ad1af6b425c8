"""The random problems of the certificate: ordinary ones, and some with numbers of far ranges."""

from __future__ import annotations

from itertools import product

import jax.numpy as jnp
import numpy as np

from nfl_pruning import Problem, make_selection
from nfl_pruning.scores import Score
from nfl_pruning.selections import Power, Window

RANGES = {
    "samples_per_feature": (0.2, 1e4),
    "keep_fraction": (0.005, 1.0),
    "ridge": (1e-5, 10.0),
}
SCORES = ("el2n", "margin")
ENDS = ("hardest", "easiest")
PROTOCOLS = ("threshold", "exact", "soft:0.5", "random")
LOSSES = ("logistic", "squared")
PROBES = ("fixed", "pilot", "in-sample")
UNPENALISED = "hinge without a ridge"
EXPONENT = 2.0  # largest size of a power rule's exponent

Stratum = tuple[str, str, str, str, str]
ALL: list[Stratum] = list(
    product(
        SCORES,
        ENDS,
        (*PROTOCOLS, "window", "power"),
        (*LOSSES, "hinge", "max-margin", UNPENALISED),
        PROBES,
    )
)
COMPILED = [s for s in ALL if s[2] in PROTOCOLS and s[3] in LOSSES]  # what a compiled batch solves
SINGLY = [s for s in ALL if s not in COMPILED]
OFF_BAND = Score(
    "off-band",
    lambda logits, labels, context: jnp.abs(
        jnp.where(labels == 1, 1, -1) * (logits[..., 1] - logits[..., 0]) - 2
    ),
    label_aware=True,
)
"""A score of one's own that is least in the middle of its range."""
FAR = list(
    product(
        ("el2n", "entropy", OFF_BAND.name),
        ENDS,
        ("threshold", "exact", "soft:0.5", "window", "power"),
        PROBES,
    )
)


def draw(count: int, seed: int, share: float = 0.0, far: float = 0.0) -> list[Problem]:
    """Problems that cycle through their strata; numbers are random.

    The last ``share`` of them are of the strata that ``solve`` takes one by one, and the ``far``
    before them of numbers at the ends of their ranges. Each kind has a stream of its own, so that
    a change of the shares leaves the problems as they are.
    """
    slow, distant = round(share * count), round(far * count)
    rng = np.random.default_rng([seed, 2])
    return (
        _cycled(COMPILED, count - slow - distant, seed)
        + [_far_problem(rng, FAR[i % len(FAR)]) for i in range(distant)]
        + _cycled(SINGLY, slow, [seed, 1])
    )


def _far_problem(rng: np.random.Generator, stratum: tuple[str, str, str, str]) -> Problem:
    """Little kept, steep rules, small exploited shares, any norm of a fixed probe."""
    score, keep, protocol, probe = stratum
    spread = lambda low, high: float(np.exp(rng.uniform(np.log(low), np.log(high))))  # noqa: E731
    form = {
        "fixed": f"fixed:{rng.uniform(-0.99, 1)}:{spread(0.05, 50)}",
        "pilot": f"pilot:{spread(0.2, 100)}:{spread(1e-3, 1)}",
        "in-sample": f"in-sample:{spread(1e-3, 1)}",
    }[probe]
    kept, exploit, steep = spread(1e-3, 0.1), spread(1e-3, 1), spread(1, 100)
    side = 1.0 if keep == "hardest" else -1.0
    selection = {"power": Power(side * steep), "window": Window(0.5 * exploit)}.get(protocol)
    selection = selection or make_selection(protocol, exploit=exploit)
    problem = Problem(samples_per_feature=spread(1, 1e4), keep=keep, keep_fraction=kept)
    own = OFF_BAND if score == OFF_BAND.name else score
    changes = {"signal": rng.uniform(0, 20), "ridge": spread(1e-5, 10), "probe": form}
    return problem.replace(score=own, selection=selection, **changes)


def _cycled(strata: list[Stratum], count: int, seed: int | list[int]) -> list[Problem]:
    rng = np.random.default_rng(seed)
    strata = list(strata)
    rng.shuffle(strata)
    return [_problem(rng, strata[i % len(strata)]) for i in range(count)]


def _problem(rng: np.random.Generator, stratum: Stratum) -> Problem:
    score, keep, protocol, loss, probe = stratum

    def spread(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    numbers = {name: spread(*ends) for name, ends in RANGES.items()}
    signal, alignment = rng.uniform(0, 20), rng.uniform(-0.99, 1)
    form = {
        "fixed": f"fixed:{alignment}",
        "pilot": f"pilot:{spread(0.2, 100)}:{spread(1e-3, 1)}",
        "in-sample": f"in-sample:{spread(1e-3, 1)}",
    }[probe]
    drawn = rng.uniform(0, 1)
    selection = {
        "window": Window(drawn * (1 - numbers["keep_fraction"])),
        "power": Power(EXPONENT * (2 * drawn - 1)),
    }.get(protocol) or make_selection(protocol, exploit=drawn)
    if loss == UNPENALISED:
        loss, numbers["ridge"] = "hinge", 0.0
    choice = {"score": score, "probe": form, "signal": signal, "loss": loss, **numbers}
    return Problem(keep=keep, selection=selection).replace(**choice)
