"""The page docs/published.md: published exact results beside the package's values.

``python docs/generate/published.py`` computes every value and writes the page;
``test_published_page.py`` fails while it is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

import published_formulas as formulas
from nfl_pruning import FixedProbe, Problem, solve
from nfl_pruning.inputs import Mixture
from nfl_pruning.probes import WeightsProbe

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "published.md"
HALF = 0.6744897502  # half of all standard normal numbers have a smaller size
FILE, PRINTED, FORMULA = "their file", "printed", "their formula, own code"


class Value(NamedTuple):
    """One comparison.

    Attributes:
        source: key of ``SOURCES``. what: the quantity and its setting.
        theirs: their number. how: where it comes from. digits: after the point, shown and compared.
        within: difference that theirs allows. ours: computes the package's number.
    """

    source: str
    what: str
    theirs: float
    how: str
    digits: int
    within: float
    ours: Callable[[], float]


SOURCES = {
    "Sur and Candès 2019": """\
The unpruned maximum-likelihood logistic fit; numbers of table 13 of Zhao, Sur and Candès 2022,
where d/n = 0.2 and the signal's square is given.""",
    "Sorscher et al. 2022": """\
arXiv 2206.14486. The perceptron of largest margin, noiseless teacher, perfect probe. They print
curves; the numbers are of their theory's problem (the largest margin at every overlap, then the
best overlap) solved anew.""",
    "Kolossov et al. 2023": """\
arXiv 2309.14563. Test errors of the files that they publish; signal 5, labels right with
probability 0.95, ridge 0.001, keep probability [p(1 − p)]^a. Their integrals are trapezoidal sums
of step 0.2 or 0.25, right to 4e-3 (perfect surrogate) or 6e-3, and to 4e-4 at a = 0.""",
    "Askari-Hemmat et al. 2025": """\
arXiv 2502.15588, the closed form of proposition 2 in version 1, and of that alone: squared loss,
noiseless teacher, probe at cosine 0.8, 5 samples a feature, ridge 0.01.""",
    "Mignacco et al. 2020": """\
arXiv 2002.11544. Two balanced clusters at ±1 with variance Δ of every feature, no intercept; their
penalty λ is of a sum of losses: a ridge λ/α here. They print curves; the numbers are their fixed
point solved anew, and the closed form of the least error.""",
    "Loureiro et al. 2021": """\
arXiv 2106.03791. Numbers of the authors' repository IdePHICS/GaussMixtureProject. Two classes:
`K2mix/data/theory/`, λ = 0.01. Three classes: output of `multiK/how_to.ipynb`, errors counted on a
million samples (standard error 5e-4), means orthonormal, Δ = 0.5, λ = 0.001.""",
    "El Firdoussi et al. 2025": """\
arXiv 2410.08942, synthetic data alone, identity covariance: the limit of their ridge classifier,
by own code. Centres at ±1.5, 4 samples a feature before pruning, ridge 0.05; errors
on right labels.""",
}


def zhao(part: str, extra: float) -> float:
    """Bias, proximal step or noise of maximum likelihood at d/n = 0.2."""
    signal = np.sqrt(5 + extra**2)
    found = solve(Problem(samples_per_feature=5).replace(signal=float(signal), ridge=0))
    assert found.cosine is not None and found.norm is not None
    values = {
        "bias": found.cosine * found.norm / signal,
        "step": found.state["kappa"],
        "noise": found.state["tau"] / np.sqrt(0.2),
    }
    return float(values[part])


def error_of(problem: Problem) -> float:
    """The certified test error."""
    found = solve(problem)
    assert found.status.value == "certified" and found.test_error is not None, found.message
    return float(found.test_error)


def largest_margin(delta: float, keep_fraction: float) -> float:
    """Perfect probe, hardest samples kept."""
    problem = Problem(samples_per_feature=delta, keep_fraction=keep_fraction, score="margin")
    return error_of(problem.replace(probe="fixed:1:1", link="sign", loss="max-margin", ridge=0))


def power_rule(surrogate: str, exponent: float, keep_fraction: float) -> float:
    """Kolossov et al.'s selection."""
    delta, probe = {
        "perfect": (6870 / 3000, FixedProbe(1.0, 5.0)),
        "imperfect": (34345 / 932, FixedProbe(2.75 / np.hypot(2.75, 0.95), np.hypot(2.75, 0.95))),
    }[surrogate]
    problem = Problem(samples_per_feature=delta, keep_fraction=keep_fraction, probe=probe)
    rule = f"power:{exponent:g}"
    return error_of(problem.replace(link="flip:0.05", ridge=0.001, selection=rule))


def by_margin(keep: str) -> float:
    """Half of the samples by the margin's size, squared loss."""
    problem = Problem(samples_per_feature=5, keep_fraction=0.5, score="margin", keep=keep)
    return error_of(problem.replace(probe=FixedProbe(0.8), link="sign", loss="squared", ridge=0.01))


def clusters(alpha: float, variance: float, penalty: float, loss: str) -> float:
    """Two balanced clusters, all samples kept."""
    inputs = Mixture([0.5, 0.5], [[-1.0], [1.0]], [variance] * 2, [0, 1])
    return _all_kept(inputs, alpha, penalty / alpha, loss)


def three_classes(alpha: float) -> float:
    """Orthonormal means, squared loss, intercepts, all samples kept."""
    inputs = Mixture(np.full(3, 1 / 3), np.eye(3), [0.5] * 3, [0, 1, 2])
    return _all_kept(inputs, alpha, 0.001 / alpha, "squared", intercept=True, tolerance=1e-3)


def _all_kept(
    inputs: Mixture,
    alpha: float,
    ridge: float,
    loss: str,
    *,
    intercept: bool = False,
    tolerance: float | None = None,
) -> float:
    problem = Problem(
        samples_per_feature=alpha,
        keep_fraction=1.0,
        selection="random",
        inputs=inputs,
        probe=WeightsProbe(inputs.means if len(inputs.means) > 2 else inputs.means[1]),
        ridge=ridge,
        loss=loss,
        intercept=intercept,
    )
    found = solve(problem, tolerance=tolerance) if tolerance else solve(problem)
    assert found.status.value == "certified" and found.test_error is not None, found.message
    return float(found.test_error)


WRONG, DISTANCE, SYNTHETIC, RIDGE = 0.4, 1.5, 4.0, 0.05


def verified(right: float, wrong: float) -> float:
    """Error on right labels of a ridge fit to what a verifier keeps."""
    inputs = Mixture.simplex(2, DISTANCE, label_noise=WRONG)
    problem = Problem(
        samples_per_feature=SYNTHETIC,
        keep_fraction=right * (1 - WRONG) + wrong * WRONG,
        selection=f"verifier:{right:g}:{wrong:g}",
        inputs=inputs,
        probe=WeightsProbe(inputs.means[1]),
        ridge=RIDGE,
        loss="squared",
    )
    return (error_of(problem) - WRONG) / (1 - 2 * WRONG)


def values() -> Iterator[Value]:
    """Every comparison, in the table's order."""
    yield from _one_gaussian()
    yield from _mixtures()


def _one_gaussian() -> Iterator[Value]:
    for extra, part, theirs in (
        (0.0, "bias", 1.50), (0.0, "step", 3.03), (0.0, "noise", 4.75), (2.5, "bias", 1.95),
    ):  # fmt: skip
        what = f"{part} at squared signal {5 + extra**2:g}"
        ours = partial(zhao, part, extra)
        yield Value("Sur and Candès 2019", what, theirs, PRINTED, 2, 0.011, ours)
    for delta, r in ((1.0, 1.0), (10.0, 1.0), (1.0, 0.3), (30.0, 0.3)):
        what = f"test error, {delta:g} samples a feature, hardest {100 * r:g} % kept"
        cut = float(np.inf if r == 1 else formulas.norm.ppf(0.5 + r / 2))
        theirs = formulas.perceptron(delta, (0.0, cut))
        ours = partial(largest_margin, delta, r)
        yield Value("Sorscher et al. 2022", what, theirs, FORMULA, 6, 1e-6, ours)
    for surrogate, a, r, theirs, within in (
        ("perfect", 0, 0.2, 0.36684, 4e-4), ("perfect", 0, 0.8, 0.27648, 4e-4),
        ("perfect", 1, 0.8, 0.24844, 4e-3), ("imperfect", -1, 0.5, 0.14388, 6e-3),
        ("imperfect", 0, 0.5, 0.10748, 4e-4), ("imperfect", 1, 0.5, 0.08716, 6e-3),
    ):  # fmt: skip
        what = f"test error, {surrogate} surrogate, a = {a}, {100 * r:g} % kept".replace("-", "−")
        ours = partial(power_rule, surrogate, a, r)
        yield Value("Kolossov et al. 2023", what, theirs, FILE, 5, within, ours)
    for keep, span in (("hardest", (0.0, HALF)), ("easiest", (HALF, np.inf))):
        theirs = formulas.margin_pruned_ridge(5, 0.8, 0.01, span)
        what, ours = f"test error, {keep} half kept", partial(by_margin, keep)
        yield Value("Askari-Hemmat et al. 2025", what, theirs, FORMULA, 6, 1e-6, ours)


def _mixtures() -> Iterator[Value]:
    source = "Mignacco et al. 2020"
    for loss, alpha, penalty in (("squared", 3, 0.1), ("squared", 0.5, 1.0), ("logistic", 2, 0.1)):
        theirs = formulas.two_clusters(alpha, 0.3, penalty, loss)
        what = f"test error, {loss} loss, α = {alpha}, Δ = 0.3, λ = {penalty}"
        ours = partial(clusters, alpha, 0.3, penalty, loss)
        yield Value(source, what, theirs, FORMULA, 7, 1e-7, ours)
    what = "least error, here at λ = 10⁵; α = 3, Δ = 0.3"
    ours = partial(clusters, 3, 0.3, 1e5, "squared")
    yield Value(source, what, formulas.bayes_two_clusters(3, 0.3), FORMULA, 7, 1e-7, ours)
    source = "Loureiro et al. 2021"
    for place, theirs in ((0, 0.42171373856), (6, 0.15468730018), (19, 0.13102337471)):
        alpha = 0.01 + place * 2.99 / 19
        what = f"test error, two classes, logistic loss, α = {alpha:.4g}, Δ = 0.5"
        ours = partial(clusters, alpha, 0.5, 0.01, "logistic")
        yield Value(source, what, theirs, FILE, 7, 1e-7, ours)
    for alpha, theirs in ((0.2, 0.537745), (10.0, 0.296407)):
        what = f"test error, three classes, squared loss, α = {alpha:g}"
        yield Value(source, what, theirs, FILE, 4, 2.5e-3, partial(three_classes, alpha))
    for keeps in ((1.0, 0.0), (0.9, 0.3), (0.6, 0.5)):
        theirs = formulas.verified_ridge(SYNTHETIC, DISTANCE, RIDGE, WRONG, keeps)
        what = (
            f"test error, {100 * WRONG:g} % wrong labels; kept: {keeps[0]:g} of right ones, "
            f"{keeps[1]:g} of wrong ones"
        )
        ours = partial(verified, *keeps)
        yield Value("El Firdoussi et al. 2025", what, theirs, FORMULA, 7, 1e-7, ours)


def misprints() -> Iterator[Value]:
    """Equations that, as they stand, say something else than their authors' own other ones."""
    source = "Askari-Hemmat et al. 2025"
    for equation, why in (
        ("theorem 1", "squares in the mean, which proposition 2 does not have"),
        ("(51)", "takes the margin of a labelled sample for normal"),
    ):
        theirs = formulas.margin_pruned_ridge(5, 0.8, 0.01, (0.0, HALF), equation)
        what = f"test error, hardest half kept; version 1, {equation}: {why}"
        ours = partial(by_margin, "hardest")
        yield Value(source, what, theirs, "as printed, own code", 6, 1e-3, ours)


def row(value: Value, ours: float | None = None) -> str:
    """A line of the table."""
    ours = value.ours() if ours is None else ours
    apart = abs(ours - value.theirs)
    verdict = "agrees" if apart <= value.within else f"**differs by {apart:.1e}**"
    numbers = (f"{number:.{value.digits}f}" for number in (value.theirs, ours))
    return "| " + " | ".join([value.source, value.what, *numbers, value.how, verdict]) + " |"


def page() -> str:
    """The whole page."""
    lines = [
        "# Published values",
        "",
        "Exact results of the literature on pruning, and on the unpruned fits that it starts from, "
        "beside what the package computes for the same problem. *Their file* and *printed* are "
        "numbers that the authors published; *their formula, own code* is their equation solved by "
        "`docs/generate/published_formulas.py`, which shares nothing with the package: there the "
        "comparison holds the package against the equation, not against a number of theirs.",
        "",
        "| source | quantity | theirs | ours | from | verdict |",
        "|---|---|---|---|---|---|",
        *(row(value) for value in values()),
        "",
        "## Misprints",
        "",
        "Equations that say something else as they stand. The package agrees with another equation "
        "of the same paper, in the table above, and with simulation.",
        "",
        "| source | quantity | as printed | ours | from | verdict |",
        "|---|---|---|---|---|---|",
        *(row(value) for value in misprints()),
        "",
        "## Settings",
        "",
        *(f"* **{name}.** {text}".replace("\n", "\n  ") for name, text in SOURCES.items()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(page(), encoding="utf-8")
