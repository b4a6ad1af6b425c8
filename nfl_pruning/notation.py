"""The table that links symbols of the mathematics, names in the code and where each is defined."""

from __future__ import annotations

from typing import NamedTuple


class Symbol(NamedTuple):
    """One row: how it is written, its name in the code, what it is, where it is defined."""

    symbol: str
    name: str
    meaning: str
    where: str


NOTATION: tuple[Symbol, ...] = (
    Symbol("n", "n_samples", "samples before pruning", "selections/finite.py"),
    Symbol("d", "n_features", "input dimension", "montecarlo/trials.py"),
    Symbol("δ = n/d", "samples_per_feature", "samples per feature before pruning", "problem.py"),
    Symbol("r", "keep_fraction", "share of samples kept, in (0, 1]", "problem.py"),
    Symbol("λ", "ridge", "penalty, normalised by n before pruning", "problem.py"),
    Symbol("γ", "signal", "norm of the teacher's parameter", "problem.py"),
    Symbol("f", "link", "P(y = 1 | γ z), z the input along the teacher", "links.py"),
    Symbol("ρ", "alignment", "cosine between probe and teacher", "probes.py"),
    Symbol("b", "probe_norm", "norm of the probe's parameter", "problem.py"),
    Symbol("u", "u", "input along the probe; its margin is b u", "probes.py"),
    Symbol("g", "rank_key", "difficulty; larger = harder", "scores/base.py"),
    Symbol("α", "exploit", "budget share that the score decides", "selections/calibration.py"),
    Symbol("s", "exponent", "power of the inverse keep probability", "selections/calibration.py"),
    Symbol("π", "keep_probability", "chance that a sample is kept", "selections/base.py"),
    Symbol("ω", "weight", "weight of a kept sample in the loss", "selections/base.py"),
    Symbol("ℓ", "Loss", "convex loss of the margin t = y h", "losses.py"),
    Symbol("a_u", "a_u", "student along the probe", "theory/proportional.py"),
    Symbol("a_p", "a_p", "student along the teacher's other part", "theory/proportional.py"),
    Symbol("τ", "tau", "norm of the student's remaining part", "theory/proportional.py"),
    Symbol("κ", "kappa", "step of the proximal map", "theory/proportional.py"),
    Symbol("cos", "cosine", "cosine of student and teacher", "theory/proportional.py"),
    Symbol("‖θ‖", "norm", "norm of the student's parameter", "theory/proportional.py"),
    Symbol("", "test_error", "P(sign⟨x, θ⟩ ≠ y), y fresh and noisy", "theory/observables.py"),
    Symbol("", "test_loss", "population loss of the student", "theory/observables.py"),
    Symbol("Δ", "excess_risk", "test_loss minus the least over all θ", "theory/observables.py"),
    Symbol("", "calibration_slope", "best factor on the margin", "theory/observables.py"),
)


def markdown() -> str:
    """The table as Markdown."""
    header = "| symbol | name in the code | meaning | defined in |\n|---|---|---|---|\n"
    return header + "".join(
        f"| {row.symbol} | `{row.name}` | {_cell(row.meaning)} | `nfl_pruning/{row.where}` |\n"
        for row in NOTATION
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
