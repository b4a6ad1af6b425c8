"""The statements as a page of Markdown, and as rows of a map."""

from __future__ import annotations

from nfl_pruning.statements import STATEMENTS

HEAD = """# Statements

What this project claims about data pruning, one statement at a time, each with a check that can
refute it. `nfl-pruning verify` runs the checks and writes a report with the evidence. This page is
written from the registry in `nfl_pruning/statements/`.

A check predicts quantities from theory and measures them another way. Each states the smallest
difference that would matter. *Refuted*: some quantity is off by more than its allowance (k standard
errors, with k such that a run of all statements rejects a true one with probability below 1e-3, or
a certified numerical error). *Inconclusive*: an allowance exceeds half of what would matter, or a
quantity claimed to lie on one side leads by less than what matters and its allowance. *Supported*
otherwise. The control moves every predicted value by what matters, and claims of every lead that it
is smaller than what matters; it must be refuted.
"Valid" means in test loss unless 0-1 error is named.

What matters is fixed beforehand: half a power for an exponent whose rival is half a power away,
half a limiting gap, a part of the predicted value elsewhere. Numbers of trials follow from it and
from the standard errors: the chance that a fresh seed leaves a statement inconclusive
(`chance_undecided` in `verify --json`, for normal errors) is below 1e-4 for each.
[seeds.md](seeds.md) tells how the verdicts of statements 1 to 13 fall at twenty other seeds.
"""


def statements_page() -> str:
    """The page docs/statements.md."""
    parts = [HEAD]
    for number, statement in enumerate(STATEMENTS.values(), start=1):
        assumptions = "\n".join(f"* {text}" for text in statement.assumptions)
        parts.append(
            f"## {number}. {statement.title}\n\n"
            f"`nfl-pruning verify --only {statement.identifier}`; check: "
            f"[{statement.module}](../{statement.module.replace('.', '/')}.py); figure: "
            f"[{statement.figure}](../{statement.figure})\n\n"
            f"{statement.claim}\n\nAssumptions:\n\n{assumptions}\n\n"
            f"Expected: {statement.expected}. {statement.why}\n\nSource: {statement.source}\n"
        )
    return "\n".join(parts)


def statements_table() -> str:
    """Rows of the README's map: statement, module with its check, command, figure's script."""
    text = "| statement | module with its check | run it | figure |\n|---|---|---|---|\n"
    for statement in STATEMENTS.values():
        path = f"{statement.module.replace('.', '/')}.py"
        text += (
            f"| {statement.title} | [{path.split('/')[-1]}]({path}) | "
            f"`verify --only {statement.identifier}` | "
            f"[{statement.figure}]({statement.figure}) |\n"
        )
    return text
