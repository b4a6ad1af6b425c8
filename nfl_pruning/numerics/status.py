"""How a computation ended, in words that a user can act on."""

from enum import StrEnum


class Status(StrEnum):
    """Outcome of a solve, equal to its name in tables and JSON; ``sentence`` explains it."""

    CERTIFIED = "certified"
    NOT_CERTIFIED = "not-certified"
    SEPARABLE = "separable"
    NOT_SEPARABLE = "not-separable"
    NO_SOLUTION = "no-solution"
    UNSUPPORTED = "unsupported"

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]

    @property
    def has_estimate(self) -> bool:
        """Whether the numbers that come with this status describe a fitted model."""
        return self in (Status.CERTIFIED, Status.NOT_CERTIFIED)


_SENTENCES = {
    Status.CERTIFIED: "Solved; a finer quadrature agrees to the error estimate, at most 1e-6.",
    Status.NOT_CERTIFIED: "Solved, but a finer quadrature differs by the error estimate.",
    Status.SEPARABLE: "The kept samples are linearly separable, so no finite ridge-free fit "
    "exists; use ridge > 0.",
    Status.NOT_SEPARABLE: "The kept samples are not linearly separable, so no max-margin fit "
    "exists; use fewer samples or another loss.",
    Status.NO_SOLUTION: "No solution of the limit equations was found, so no numbers are given.",
    Status.UNSUPPORTED: "The theory does not cover this problem.",
}
