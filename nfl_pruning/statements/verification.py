"""Check statements, each with the controls that must fail; finished checks are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nfl_pruning.experiments.processes import in_processes
from nfl_pruning.numerics.programs import release_programs
from nfl_pruning.records import RecordStore, source_hash
from nfl_pruning.statements import STATEMENTS
from nfl_pruning.statements.base import PRESETS, REFUTED, Evidence, Statement, measured_from
from nfl_pruning.validation import check_choice, check_integer, check_seed


@dataclass(frozen=True)
class Checked:
    """A statement with its evidence and the verdicts of its controls.

    Attributes:
        statement: what was claimed.
        evidence: what was found.
        controls: verdicts on the predictions moved up and down by what matters.
    """

    statement: Statement
    evidence: Evidence
    controls: tuple[str, str]

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the expected one and both controls are refuted."""
        return self.evidence.verdict == self.statement.expected and self.control_refuted

    @property
    def control_refuted(self) -> bool:
        """Whether both shifted predictions are refuted."""
        return all(verdict == REFUTED for verdict in self.controls)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        statement, evidence = self.statement, self.evidence
        measured = evidence.to_dict()["measured"]
        return {
            "statement": statement.identifier,
            "title": statement.title,
            "verdict": evidence.verdict,
            "reason": evidence.reason,
            "expected": statement.expected,
            "as_expected": self.as_expected,
            "control_refuted": self.control_refuted,
            "chance_undecided": evidence.chance_undecided,
            "seconds": evidence.seconds,
            "quantities": measured["quantities"],
            "remarks": measured["remarks"],
        }


@dataclass(frozen=True)
class Verification:
    """All statements that were checked, in reading order.

    Attributes:
        checked: one entry a statement.
        preset, seed: how they were checked.
    """

    checked: tuple[Checked, ...]
    preset: str
    seed: int

    @property
    def as_expected(self) -> bool:
        """Whether every verdict is the expected one and every control is refuted."""
        return all(one.as_expected for one in self.checked)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "preset": self.preset,
            "seed": self.seed,
            "as_expected": self.as_expected,
            "statements": [one.to_dict() for one in self.checked],
        }


def verify(
    only: Sequence[str] = (),
    *,
    preset: str = "quick",
    seed: int = 0,
    records: str | Path | None = None,
    fresh: bool = False,
    jobs: int = 1,
    tell: Callable[[str], None] | None = None,
) -> Verification:
    """Check statements, each with its controls.

    Args:
        only: identifiers, in the order wanted; all statements where it is empty.
        preset: ``"quick"`` (minutes) or ``"paper"`` (hours, larger samples).
        seed: whole number in [0, 2^32).
        records: folder in which finished checks of the same code are kept and looked up; nowhere
            by default.
        fresh: check again what has been checked.
        jobs: checks at a time, each in a process of its own where there are several; the numbers
            are those of one process.
        tell: called with a sentence as checks start or finish.

    Raises:
        InvalidArgumentError: an argument is out of range or unknown.
    """
    check_choice("preset", preset, PRESETS)
    check_seed(seed)
    check_integer("jobs", jobs, 1)
    names = dict.fromkeys(check_choice("only", name, STATEMENTS) for name in only)
    statements = [STATEMENTS[name] for name in names or STATEMENTS]
    tell = tell or (lambda sentence: None)
    with _store(records) as store:
        missing = statements if fresh else unchecked(statements, preset, seed, store)
        if min(len(missing), jobs) > 1:
            _check_in_processes(missing, preset, seed, store.folder, jobs=jobs, tell=tell)
            missing = []
        checked = []
        for position, statement in enumerate(statements, start=1):
            if statement in missing:
                tell(f"{position} of {len(statements)}: {statement.title}")
            checked.append(check(statement, preset, seed, store, fresh=statement in missing))
    return Verification(tuple(checked), preset, seed)


@contextmanager
def _store(folder: str | Path | None) -> Iterator[RecordStore]:
    """The records in a folder, or in one that is gone afterwards."""
    if folder is not None:
        yield RecordStore(folder)
        return
    with TemporaryDirectory(prefix="nfl-pruning-") as temporary:
        yield RecordStore(temporary)


def unchecked(
    statements: Sequence[Statement], preset: str, seed: int, store: RecordStore
) -> list[Statement]:
    """Those of the statements that this code has not checked so."""
    return [one for one in statements if store.get(_config(one, preset, seed)) is None]


def check(
    statement: Statement, preset: str, seed: int, store: RecordStore, *, fresh: bool
) -> Checked:
    """The evidence of one statement, from its record where the same code made one."""
    config = _config(statement, preset, seed)
    found = None if fresh else store.get(config)
    if found is None:
        evidence = statement.check(preset, seed)
        store.put(config, evidence.to_dict())
        release_programs()
    else:
        measured = measured_from(found["measured"])
        evidence = statement.judge(measured, preset, seed, seconds=found["seconds"])
    up, down = (
        statement.judge(evidence.measured, preset, seed, shift).verdict for shift in (1, -1)
    )
    return Checked(statement, evidence, (up, down))


def _config(statement: Statement, preset: str, seed: int) -> dict[str, Any]:
    """What the record of a check is kept by."""
    return {
        "kind": "statement",
        "statement": statement.identifier,
        "preset": preset,
        "seed": seed,
        "source": source_hash(),
    }


def _check_in_processes(
    statements: Sequence[Statement],
    preset: str,
    seed: int,
    folder: Path,
    *,
    jobs: int,
    tell: Callable[[str], None],
) -> None:
    """Fill the records, several checks at a time; each check's numbers are as in one process."""
    jobs = min(len(statements), jobs)
    tell(f"{len(statements)} checks, {jobs} at a time")
    titles = {statement.identifier: statement.title for statement in statements}
    tasks = {name: (name, preset, seed, folder) for name in titles}
    for done, (name, _) in enumerate(in_processes(_fill_record, tasks, jobs), start=1):
        tell(f"{done} of {len(statements)} checked: {titles[name]}")


def _fill_record(identifier: str, preset: str, seed: int, folder: Path) -> None:
    """One check in a process of its own."""
    check(STATEMENTS[identifier], preset, seed, RecordStore(folder), fresh=True)
