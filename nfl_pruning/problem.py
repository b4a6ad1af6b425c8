"""The one description of a pruning problem that theory and simulation share."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.inputs import Inputs, Isotropic, parse_inputs
from nfl_pruning.links import LINKS, Link, parse_link
from nfl_pruning.losses import LOSSES, Loss
from nfl_pruning.probes import CrossFitProbe, FixedProbe, Probe, WeightsProbe, parse_probe
from nfl_pruning.scores.base import SCORES, Score
from nfl_pruning.selections import (
    PropensitySelection,
    Random,
    RankSelection,
    Selection,
    Threshold,
    make_selection,
)
from nfl_pruning.selections.balanced import GIVEN, check_balance, given_ratios
from nfl_pruning.selections.base import ENDS
from nfl_pruning.validation import check_choice, check_number


@dataclass(frozen=True)
class Teacher:
    """How labels arise: x is standard normal, P(y = 1 | x) = link(signal * <x, e_1>).

    Attributes:
        link: a :class:`Link` or its text form.
        signal: size of the teacher's parameter, finite and >= 0.
    """

    link: Link = LINKS["logistic"]
    signal: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "link", parse_link(self.link))
        object.__setattr__(self, "signal", check_number("signal", self.signal, "[0, inf)"))

    @property
    def scale(self) -> float:
        """Teacher margin per unit of z = <x, e_1>: the signal, or 1 for a scale-free link."""
        return 1.0 if self.link.scale_free else self.signal


@dataclass(frozen=True)
class Student:
    """What is fitted to the kept samples.

    Minimises ``(1/n) sum_i w_i loss(y_i <x_i, theta>) + (ridge/2) ||theta||^2`` with n counted
    before pruning and w_i = 0 for dropped samples; scikit-learn's C is 1 / (ridge * n).

    Attributes:
        loss: registered name or :class:`Loss`.
        ridge: penalty, >= 0; 0 is the ridge-free limit.
        intercept: whether the margin, or each logit, has a free intercept without penalty.

    A mixture of K >= 3 classes is fitted by K logits W x + b, softmax cross-entropy or squared loss
    one against all, and ``(ridge/2) ||W||^2``. With K = 2 the margin is the logit of the second
    class; two logits with twice the ridge are the same fit.
    """

    loss: Loss = LOSSES["logistic"]
    ridge: float = 0.01
    intercept: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.loss, Loss):
            object.__setattr__(self, "loss", LOSSES[check_choice("loss", self.loss, LOSSES)])
        object.__setattr__(self, "ridge", check_number("ridge", self.ridge, "[0, inf)"))
        if not isinstance(self.intercept, bool):
            raise InvalidArgumentError(f"intercept must be True or False; got {self.intercept!r}.")


@dataclass(frozen=True, init=False, repr=False)
class Problem:
    """Inputs, teacher, probe, score, selection and student, at n = samples_per_feature * d samples.

    Attributes:
        samples_per_feature: n / d before pruning, > 0.
        keep_fraction: share of samples kept, in (0, 1].
        score: registered name or :class:`Score`; ignored by selections that do not use it.
        keep: ``"hardest"`` or ``"easiest"``: which end of the score has priority.
        selection: protocol, object or text form (``"threshold"``, ``"soft:0.5"`` ...).
        teacher, probe, student: see their classes; the probe also as text.
        inputs: law of x; standard normal by default, a :class:`Spectrum`, a :class:`Mixture`, which
            may bring its labels, or the text form of one.
        balance: class quotas: ``"none"``; ``"proportional"``, the same share of every class; or
            ``"equal"``, the same count as far as classes have it; ``"given:R_0,R_1,..."``, shares
            of the classes in these ratios, at most 1. Each class is ranked by itself.

    What :meth:`describe` says is taken as well, so ``Problem(**problem.describe())`` is the same
    problem: ``link`` and ``signal`` of the teacher, ``loss``, ``ridge`` and ``intercept`` of the
    student, ``protocol`` for the selection, and ``exploit``, the share of a protocol that has one.

    Raises:
        InvalidArgumentError: an entry is out of range or unknown, or given twice.
    """

    samples_per_feature: float = 5.0
    keep_fraction: float = 1.0
    score: Score = SCORES["el2n"]
    keep: str = "hardest"
    selection: Selection = field(default_factory=Threshold)
    teacher: Teacher = field(default_factory=Teacher)
    probe: Probe = field(default_factory=FixedProbe)
    student: Student = field(default_factory=Student)
    inputs: Inputs = field(default_factory=Isotropic)
    balance: str = "none"

    def __init__(
        self,
        samples_per_feature: float = 5.0,
        keep_fraction: float = 1.0,
        score: Score | str = SCORES["el2n"],
        keep: str = "hardest",
        selection: Selection | str | None = None,
        teacher: Teacher | None = None,
        probe: Probe | str | None = None,
        student: Student | None = None,
        inputs: Inputs | str | None = None,
        balance: str = "none",
        *,
        protocol: Selection | str | None = None,
        exploit: float | None = None,
        **parts: Any,
    ) -> None:
        given = {
            "samples_per_feature": samples_per_feature,
            "keep_fraction": keep_fraction,
            "score": score,
            "keep": keep,
            "selection": _selection(selection, protocol, exploit),
            "probe": FixedProbe() if probe is None else probe,
            "inputs": Isotropic() if inputs is None else inputs,
            "balance": balance,
            "teacher": _with_parts(teacher or Teacher(), parts, ("link", "signal")),
            "student": _with_parts(student or Student(), parts, STUDENT),
        }
        if parts:
            check_choice("problem entry", next(iter(parts)), ENTRIES)
        for name, value in given.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        spf = check_number("samples_per_feature", self.samples_per_feature, "(0, inf)")
        put("samples_per_feature", spf)
        put("keep_fraction", check_number("keep_fraction", self.keep_fraction, "(0, 1]"))
        check_choice("keep", self.keep, ENDS)
        if not isinstance(self.score, Score):
            put("score", SCORES[check_choice("score", self.score, SCORES)])
        put("probe", parse_probe(self.probe))
        put("inputs", parse_inputs(self.inputs))
        put("balance", check_balance(self.balance))
        self._check_given()
        if self.balance != "none" and not isinstance(self.selection, RankSelection):
            raise InvalidArgumentError(
                "class quotas need a protocol that keeps a fixed count by rank; "
                f"got {self.selection.label}."
            )
        if self.score is SCORES["random"] and "score" in self.selection.uses:
            put("selection", Random())  # ties everywhere: a random subset, with nothing to exploit

    def _check_given(self) -> None:
        """Quotas given as numbers must be as many as the classes."""
        n_classes = getattr(self.inputs, "n_classes", 2)
        if self.balance.startswith(GIVEN) and len(given_ratios(self.balance)) != n_classes:
            raise InvalidArgumentError(
                f"given quotas must be as many as the {n_classes} classes; got {self.balance!r}."
            )

    def __repr__(self) -> str:
        inside = (f"{key}={value!r}" for key, value in self.describe().items() if value is not None)
        return f"Problem({', '.join(inside)})"

    @property
    def probe_norm(self) -> float:
        """Norm of a fixed probe's parameter, with its default filled in."""
        if not isinstance(self.probe, FixedProbe):
            raise InvalidArgumentError(f"probe {self.probe.label} has no norm given in advance.")
        return self.teacher.scale if self.probe.norm is None else self.probe.norm

    @property
    def only_for_mixtures(self) -> str:
        """What of the problem goes with a mixture's inputs alone, in words; empty where nothing."""
        if isinstance(self.probe, (CrossFitProbe, WeightsProbe)):
            return f"probe {self.probe.label!r}"
        if self.student.intercept:
            return "an intercept"
        return "" if self.balance == "none" else f"balance {self.balance!r}"

    @property
    def ranking_score(self) -> Score:
        """The score whose rank key the selection reads."""
        if isinstance(self.selection, PropensitySelection):
            return self.selection.base
        return SCORES["random"] if isinstance(self.selection, Random) else self.score

    def replace(self, **changes: Any) -> Problem:
        """A copy with entries changed, by the names that :class:`Problem` takes."""
        if "protocol" in changes or "exploit" in changes:
            protocol = changes.pop("protocol", changes.get("selection", self.selection))
            changes["selection"] = _selection(protocol, None, changes.pop("exploit", None))
        teacher = {k: changes.pop(k) for k in ("signal", "link") if k in changes}
        student = {k: changes.pop(k) for k in STUDENT if k in changes}
        if teacher:
            changes["teacher"] = replace(changes.get("teacher", self.teacher), **teacher)
        if student:
            changes["student"] = replace(changes.get("student", self.student), **student)
        return replace(self, **changes)

    def describe(self) -> dict[str, Any]:
        """Plain values that rebuild the problem, for records and ``--json``.

        Inputs are named where they are not standard normal, intercept and balance where they are
        not the defaults.
        """
        named: dict[str, Any] = {}
        if type(self.inputs) is not Isotropic:
            named["inputs"] = self.inputs.label
        if self.student.intercept:
            named["intercept"] = True
        if self.balance != "none":
            named["balance"] = self.balance
        return named | {
            "link": self.teacher.link.name,
            "signal": self.teacher.signal,
            "samples_per_feature": self.samples_per_feature,
            "ridge": self.student.ridge,
            "loss": self.student.loss.name,
            "probe": self.probe.label,
            "score": self.score.name,
            "keep": self.keep,
            "keep_fraction": self.keep_fraction,
            "protocol": self.selection.label,
            "exploit": asdict(self.selection).get("exploit"),
        }


def _with_parts(whole: Any, parts: dict[str, Any], names: tuple[str, ...]) -> Any:
    """A teacher or student, with those of its own entries that were given by themselves."""
    own = {name: parts.pop(name) for name in names if name in parts}
    return replace(whole, **own) if own else whole


def _selection(
    selection: Selection | str | None, protocol: Selection | str | None, exploit: float | None
) -> Selection:
    """The selection from either of its two names, and the exploitation share of its text form."""
    if selection is not None and protocol is not None:
        raise InvalidArgumentError(
            f"selection and protocol are two names of one thing; got {selection!r} and "
            f"{protocol!r}."
        )
    chosen = selection if protocol is None else protocol
    share = 0.5 if exploit is None else check_number("exploit", exploit, "[0, 1]")
    if isinstance(chosen, Selection) and exploit is not None and hasattr(chosen, "exploit"):
        return replace(chosen, exploit=share)
    return make_selection("threshold" if chosen is None else chosen, exploit=share)


STUDENT = ("loss", "ridge", "intercept")
ENTRIES = (*(entry.name for entry in fields(Problem)), *Problem().describe(), "intercept")
