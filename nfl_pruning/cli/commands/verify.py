"""``nfl-pruning verify``: check every statement, print the verdicts, write a report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nfl_pruning.cli.options.problem import chosen
from nfl_pruning.cli.options.shared import jobs_option, json_option, seed_option, shared
from nfl_pruning.experiments.compilation import quick_compilation
from nfl_pruning.experiments.processes import usual_jobs

if TYPE_CHECKING:
    from nfl_pruning.statements.verification import Verification

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
@shared("--preset")
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
    preset: str, only: str, seed: int, out: Path, fresh: bool, jobs: int | None, as_json: bool
) -> int:
    """Check, print, write; the exit code says whether all is as expected."""
    from nfl_pruning.statements import STATEMENTS
    from nfl_pruning.validation import check_folder

    statements = chosen(only, STATEMENTS)
    check_folder("out", out)
    from nfl_pruning.records import RecordStore
    from nfl_pruning.report.page import write_report
    from nfl_pruning.statements.verification import unchecked, verify

    records = out / "records"
    missing = fresh or unchecked(statements, preset, seed, RecordStore(records))
    if missing and preset == "quick":  # most of which is compilation
        quick_compilation()
    found = verify(
        [statement.identifier for statement in statements],
        preset=preset,
        seed=seed,
        records=records,
        fresh=fresh,
        jobs=(jobs or usual_jobs()) if missing else 1,
        tell=_say,
    )
    report = write_report(found, out)
    if as_json:
        from nfl_pruning.cli.output.tables import print_json

        print_json(found.to_dict() | {"report": report}, indent=2)
    else:
        _print(found, report)
    return 0 if found.as_expected else 1


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print(found: Verification, report: Path) -> None:
    from nfl_pruning.cli.output.tables import print_table

    entries, rows = found.checked, []
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
