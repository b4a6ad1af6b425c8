"""``nfl-pruning verify``: check every statement, print the verdicts, write a report."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nfl_pruning.cli.cache import quick_compilation
from nfl_pruning.cli.options import chosen, json_option, seed_of, seed_option
from nfl_pruning.cli.processes import in_processes, jobs_option, usual_jobs
from nfl_pruning.cli.scripts import PRESETS

if TYPE_CHECKING:
    from nfl_pruning.records import RecordStore
    from nfl_pruning.report.page import Entry
    from nfl_pruning.statements import Statement

HELP = """Check the statements about data pruning, each with a control that must fail.

Writes DIR/report.html, a page that stands alone, and DIR/records; finished checks of the same code
are kept, so an interrupted run continues. The exit code is 0 when every verdict is the expected one
and every control is refuted, else 1.

\b
Examples:
  nfl-pruning verify
  nfl-pruning verify --only calibration,in-sample --seed 3
  nfl-pruning verify --preset paper --json --jobs 1
"""


@click.command("verify", help=HELP, short_help="Check every statement; write a report.")
@click.option(
    "--preset", default="quick", show_default=True, metavar="NAME",
    help="quick: minutes; paper: hours, with larger samples.",
)  # fmt: skip
@click.option("--only", default="", metavar="ID,...", help="These statements alone.")
@seed_option
@click.option(
    "--out", default="verification", show_default=True, metavar="DIR",
    type=click.Path(path_type=Path), help="Folder of report and records.",
)  # fmt: skip
@click.option("--fresh", is_flag=True, help="Check again what has been checked.")
@jobs_option("Checks")
@json_option
def command(
    preset: str, only: str, seed: str, out: Path, fresh: bool, jobs: int | None, as_json: bool
) -> int:
    """Check, print, write; the exit code says whether all is as expected."""
    from nfl_pruning.statements import STATEMENTS
    from nfl_pruning.validation import check_choice, check_folder

    check_choice("preset", preset, PRESETS)
    number = seed_of(seed)
    statements = chosen(only, STATEMENTS)
    check_folder("out", out)
    from nfl_pruning.records import RecordStore

    store = RecordStore(out / "records")
    entries = _entries(statements, preset, number, store, fresh=fresh, jobs=jobs)
    report = write_report(entries, out, preset, number)
    good = all(entry.as_expected for entry in entries)
    if as_json:
        found = {
            "preset": preset, "seed": number, "as_expected": good, "report": report,
            "statements": [as_object(entry) for entry in entries],
        }  # fmt: skip
        from nfl_pruning.cli.output import print_json

        print_json(found, indent=2)
    else:
        _print(entries, report)
    return 0 if good else 1


def _entries(
    statements: list[Statement], preset: str, seed: int, store: RecordStore, *,
    fresh: bool, jobs: int | None,
) -> list[Entry]:  # fmt: skip
    """The evidence of all statements, in their order."""
    missing = [s for s in statements if fresh or store.get(_config(s, preset, seed)) is None]
    if missing and preset == "quick":  # most of which is compilation
        quick_compilation()
    jobs = min(len(missing), jobs or usual_jobs())
    if jobs > 1:
        _check_in_processes(missing, preset, seed, store.folder, jobs)
        missing = []
    entries = []
    for position, statement in enumerate(statements, start=1):
        if statement in missing:
            _say(f"{position} of {len(statements)}: {statement.title}")
        entries.append(check(statement, preset, seed, store, fresh=statement in missing))
    return entries


def check(
    statement: Statement, preset: str, seed: int, store: RecordStore, *, fresh: bool
) -> Entry:
    """The evidence of one statement, from its record where the same code made one."""
    from nfl_pruning.programs import release_programs
    from nfl_pruning.report.page import Entry
    from nfl_pruning.statements.base import measured_from

    config = _config(statement, preset, seed)
    found = None if fresh else store.get(config)
    if found is None:
        evidence = statement.check(preset, seed)
        store.put(config, evidence.to_dict())
        release_programs()
    else:
        measured = measured_from(found["measured"])
        evidence = statement.judge(measured, preset, seed, seconds=found["seconds"])
    controls = tuple(
        statement.judge(evidence.measured, preset, seed, shift).verdict for shift in (1, -1)
    )
    return Entry(statement, evidence, controls)  # pyright: ignore[reportArgumentType]


def _config(statement: Statement, preset: str, seed: int) -> dict[str, Any]:
    """What the record of a check is kept by."""
    from nfl_pruning.records import source_hash

    return {
        "kind": "statement", "statement": statement.identifier, "preset": preset, "seed": seed,
        "source": source_hash(),
    }  # fmt: skip


def _check_in_processes(
    statements: list[Statement], preset: str, seed: int, folder: Path, jobs: int
) -> None:
    """Fill the records, several checks at a time; each check's numbers are as in one process."""
    _say(f"{len(statements)} checks, {jobs} at a time")
    titles = {statement.identifier: statement.title for statement in statements}
    tasks = {name: (name, preset, seed, folder) for name in titles}
    for done, (name, _) in enumerate(in_processes(_fill_record, tasks, jobs), start=1):
        _say(f"{done} of {len(statements)} checked: {titles[name]}")


def _fill_record(identifier: str, preset: str, seed: int, folder: Path) -> None:
    """One check in a process of its own."""
    from nfl_pruning.records import RecordStore
    from nfl_pruning.statements import STATEMENTS

    check(STATEMENTS[identifier], preset, seed, RecordStore(folder), fresh=True)


def write_report(entries: list[Entry], out: Path, preset: str, seed: int) -> Path:
    """Write the page; returns its path."""
    from nfl_pruning import __version__
    from nfl_pruning.records import write_atomically
    from nfl_pruning.report.page import page

    about = {
        "preset": preset,
        "seed": seed,
        "nfl-pruning": __version__,
        "written": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }
    text = page(entries, about)
    out.mkdir(parents=True, exist_ok=True)
    return write_atomically(out / "report.html", lambda file: file.write(text.encode()))


def as_object(entry: Entry) -> dict[str, Any]:
    """One statement for ``--json``."""
    statement, evidence = entry.statement, entry.evidence
    measured = evidence.to_dict()["measured"]
    return {
        "statement": statement.identifier,
        "title": statement.title,
        "verdict": evidence.verdict,
        "reason": evidence.reason,
        "expected": statement.expected,
        "as_expected": entry.as_expected,
        "control_refuted": entry.control_refuted,
        "chance_undecided": evidence.chance_undecided,
        "seconds": evidence.seconds,
        "quantities": measured["quantities"],
        "remarks": measured["remarks"],
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print(entries: list[Entry], report: Path) -> None:
    from nfl_pruning.cli.output import print_table

    rows = []
    for entry in entries:
        quantities = entry.evidence.measured.quantities
        statistical = [abs(q.z_score) for q in quantities if q.dof is not None
                       and q.relation == "equals"]  # fmt: skip
        rows.append(
            (
                entry.statement.identifier,
                entry.evidence.verdict,
                "refuted" if entry.control_refuted else "NOT refuted",
                str(len(quantities)),
                f"{max(statistical):.1f}" if statistical else "–",
                f"{entry.evidence.seconds:.0f}",
            )
        )
    wrong = [e for e in entries if not e.as_expected]
    note = "\n".join(f"{e.statement.identifier}: {e.evidence.reason}" for e in wrong)
    note += f"\n{len(entries) - len(wrong)} of {len(entries)} as expected. Report: {report}"
    print_table(
        ("statement", "verdict", "control", "quantities", "largest z", "seconds"),
        rows, note=note.strip(), left=("statement", "verdict", "control"), fixed=("statement",),
    )  # fmt: skip
