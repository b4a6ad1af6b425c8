"""No Free Lunch: for every score and keep fraction a law on which pruning by it is not valid."""

from __future__ import annotations

from nfl_pruning.adversary.certify import Certificate, certify
from nfl_pruning.adversary.find import FOUND, find_adversary
from nfl_pruning.adversary.laws import EXPLICIT
from nfl_pruning.adversary.simulate import simulate_gap
from nfl_pruning.scores import SCORES
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring.summary import seedless

FRACTIONS = (0.1, 0.3, 0.5, 0.8)
LAWS = {"hardest": "outer-flip", "easiest": "noisy-steps"}
FEWER = {"quick": (0.3,), "paper": FRACTIONS}  # keep fractions at which keep-easiest is shown
# (score, keep fraction): samples, where those kept by keep-hardest are not separable, so that a
# fit has a norm; more of them where the gap is small beside its spread
SIMULATED = {
    ("el2n", 0.8): 8000,
    ("entropy", 0.8): 8000,
    ("grand", 0.5): 8000,
    ("forgetting", 0.5): 8000,
    ("prototypicality", 0.3): 24_000,
}
REPEATS = {"quick": 40, "paper": 400}
LOOKS = {
    "el2n": "aware-hardest", "entropy": "agnostic-hardest", "grand": "aware-easiest",
    "forgetting": "soft", "prototypicality": "exact",
}  # fmt: skip


@seedless
def certificates(preset: str) -> dict[tuple[str, float, str], Certificate]:
    """The gap of every registered score but random, by (name, keep fraction, end)."""
    return {
        (name, fraction, keep): certify(EXPLICIT[LAWS[keep]], SCORES[name], fraction, keep)
        for keep, fractions in (("hardest", FRACTIONS), ("easiest", FEWER[preset]))
        for name in SCORES
        if name != "random"
        for fraction in fractions
    }


def measure(preset: str, seed: int) -> Measured:
    """Certified gaps on two explicit laws, and some of them on samples."""
    found, simulated = certificates(preset), []
    quantities = [
        _positive(f"gap of {name}, keep {keep} {fraction:g}", got)
        for (name, fraction, keep), got in found.items()
    ]
    for (name, fraction), n_samples in SIMULATED.items():
        gap = found[name, fraction, "hardest"].gap
        shown = simulate_gap(
            EXPLICIT[LAWS["hardest"]], SCORES[name], fraction, seed=seed,
            n_samples=n_samples, repeats=REPEATS[preset],
        )  # fmt: skip
        text = f"simulated gap over random, {name}, keep hardest {fraction:g}"
        simulated.append(Quantity(text, gap, shown.mean, shown.error, 0.5 * gap, shown.repeats - 1))
    if preset == "paper":
        quantities += _searched(seed)
    return Measured(quantities + simulated, [_plot(found, simulated)], _remarks(found))


def _positive(text: str, got: Certificate) -> Quantity:
    gap = got.gap if got.resolved else float("nan")
    return Quantity(text, 0.0, gap, 2 * got.error, 1e-3, None, "above")


def _searched(seed: int) -> list[Quantity]:
    """The adversary's own laws, where a search is affordable."""
    found = []
    for name in (name for name in SCORES if name != "random"):
        for fraction in FRACTIONS:
            got = find_adversary(name, fraction, seed=seed)
            assert got.certificate is not None
            text = f"gap of {name}, keep hardest {fraction:g}, law searched"
            quantity = _positive(text, got.certificate)
            found.append(quantity if got.outcome == FOUND else Quantity(text, 0, 0, 0, 1e-3, None))
    return found


def _plot(found: dict, simulated: list[Quantity]) -> Plot:
    series = []
    for name, look in LOOKS.items():
        kept = [f for f in FRACTIONS if (name, f, "hardest") in found]
        y = [found[name, f, "hardest"].gap for f in kept]
        series.append(Series(name, list(kept), y, look=look))
    for (name, fraction), quantity in zip(SIMULATED, simulated, strict=True):
        series.append(
            Series("", [fraction], [quantity.measured], [quantity.error], LOOKS[name], points=True)
        )
    return Plot(
        "Limiting excess loss on one explicit law (keep hardest); random pruning has 0",
        "kept share", "excess loss", series, y_log=True,
    )  # fmt: skip


def _remarks(found: dict) -> list[str]:
    bound = [key for key, got in found.items() if got.binding]
    flat = [got.error_gap for key, got in found.items() if key[0] == "entropy"]
    return [
        f"In {len(bound)} of {len(found)} cases the kept samples are separable, or nearly so, and "
        "the limit lies on the boundary of the ball of radius 20 that parameters are confined to.",
        "A gap is one of test loss. In 0-1 error label-aware keep-hardest loses up to "
        f"{max(got.error_gap for got in found.values()):.2f}; label-agnostic rules on this "
        f"symmetric law lose nothing ({max(map(abs, flat)):.3f}), as only the norm is off.",
    ]


STATEMENT = Statement(
    identifier="no-free-lunch",
    title="For every score and keep fraction there is a law on which it is not valid",
    claim=(
        "For each registered score but random and each `r` on the grid 0.1, 0.3, 0.5, 0.8 there "
        "is a data law with `lim E[L(θ_n)] − min L = Δ(r) > 0`. Two laws serve all: "
        "two clusters in the plane, labels by steps of the first coordinate with noise. The gap "
        "is certified by quadrature with the hard threshold."
    ),
    assumptions=(
        "logistic regression with intercept over the ball ‖θ‖ ≤ 20",
        "the probe is the best parameter of the model under the law itself",
        "forgetting and AUM follow the straight training path from 0 to the probe; prototypes are "
        "the law's two k-means centres",
    ),
    source="Ayed and Hayou 2023 (No Free Lunch); laws and certificates are ours.",
    why="The truncated law differs from the data law, and a misspecified (or label-tilted) fit "
    "depends on which samples it sees. Any score of one's own: find_adversary.",
    measure=measure,
)
