"""Symbols of the mathematics, their names in the code, and the words of the project."""

from __future__ import annotations

from typing import NamedTuple


class Symbol(NamedTuple):
    """One row: how it is written, its name in the code, what it is, where it is defined and used.

    ``equation`` counts as docs/equations.md does.
    """

    symbol: str
    name: str
    meaning: str
    where: str
    equation: str = ""


WORDS: tuple[tuple[str, str], ...] = (
    ("selection", "says which samples stay and with what weight; `--protocol` on the command line"),
    ("policy", "a score, the end of it that stays, and a selection"),
    ("selection law", "what a selection tends to: keep probability and weight of (u, label)"),
    ("stratum", "a share of the priority order that is kept with one probability"),
    (
        "probe",
        "the model whose logits are scored; fixed, a pilot on samples of its own, or in-sample",
    ),
    ("in-sample", "fitted on the very samples that it scores"),
    ("proximal point", "h = prox(v), the margin of a sample that the fit has seen"),
    ("proximal residual", "v − h: how far the fit moves a sample's margin; `prox_residual`"),
    ("kink", "a margin at which a loss or its proximal map has a corner"),
    ("curvature", "a second derivative, of a loss or of a risk"),
    ("loading", "entry of the probe's or the teacher's direction on an eigenvector"),
    ("state", "the unknowns of a limit: along, across, noise, step and, in-sample, coupling"),
    ("moments", "the expectations over kept samples that fix the state"),
    ("integrator", "a way to compute the moments: `panels` or `conditioned`"),
    ("status", "how a search ended; only `certified` numbers have a checked error estimate"),
    ("keep mass", "share of samples that a selection law keeps, found without its thresholds"),
)
"""Words of the project: the word, and what it means."""


NOTATION: tuple[Symbol, ...] = (
    Symbol("n", "n_samples", "samples before pruning", "selections/finite.py"),
    Symbol("d", "n_features", "input dimension", "montecarlo/trials.py"),
    Symbol("δ = n/d", "samples_per_feature", "samples per feature before pruning", "problem.py"),
    Symbol("r", "keep_fraction", "share of samples kept, in (0, 1]", "problem.py"),
    Symbol("λ", "ridge", "penalty, normalised by n before pruning", "problem.py", "(5)"),
    Symbol("γ", "signal", "norm of the teacher's parameter", "problem.py"),
    Symbol("f", "link", "P(y = 1 | γ z), z the input along the teacher", "links.py"),
    Symbol("ρ", "alignment", "cosine between probe and teacher", "probes.py"),
    Symbol("b", "probe_norm", "norm of the probe's parameter", "problem.py"),
    Symbol("u", "u", "input along the probe; its margin is b u", "probes.py"),
    Symbol("g", "rank_key", "difficulty; larger = harder", "scores/base.py"),
    Symbol("α", "exploit", "budget share that the score decides", "selections/calibration.py"),
    Symbol("s", "exponent", "power of the inverse keep probability", "selections/calibration.py"),
    Symbol(
        "π", "keep_probability", "probability that a sample is kept", "selections/base.py", "(3)"
    ),
    Symbol("ω", "weight", "weight of a kept sample in the loss", "selections/base.py", "(2)"),
    Symbol("ℓ", "Loss", "convex loss of the margin t = y h", "losses.py", "(2)"),
    Symbol("a_u", "a_u", "student along the probe", "theory/proportional.py", "(1), (7)"),
    Symbol(
        "a_p", "a_p", "student along the teacher's other part", "theory/proportional.py", "(1), (8)"
    ),
    Symbol(
        "τ", "tau", "norm of the student's remaining part", "theory/proportional.py", "(1), (10)"
    ),
    Symbol("κ", "kappa", "step of the proximal map", "theory/proportional.py", "(2), (6)"),
    Symbol("cos", "cosine", "cosine of student and teacher", "theory/proportional.py"),
    Symbol("‖θ‖", "norm", "norm of the student's parameter", "theory/proportional.py"),
    Symbol("", "test_error", "P(sign⟨x, θ⟩ ≠ y), y fresh and noisy", "theory/observables.py"),
    Symbol("", "test_loss", "population loss of the student", "theory/observables.py"),
    Symbol("Δ", "excess_risk", "test_loss minus the least over all θ", "theory/observables.py"),
    Symbol("", "calibration_slope", "best factor on the margin", "theory/observables.py"),
)


def markdown() -> str:
    """Both tables as Markdown."""
    head = (
        "| symbol | name in the code | meaning | equation | defined in |\n|---|---|---|---|---|\n"
    )
    symbols = "".join(
        f"| {row.symbol} | `{row.name}` | {_cell(row.meaning)} | {row.equation} | "
        f"`nfl_pruning/{row.where}` |\n"
        for row in NOTATION
    )
    words = "".join(f"| {word} | {_cell(meaning)} |\n" for word, meaning in WORDS)
    return f"{head}{symbols}\n| word | meaning |\n|---|---|\n{words}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
