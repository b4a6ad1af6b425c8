"""The report of a verification as one HTML file that needs nothing else."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from nfl_pruning import __version__
from nfl_pruning.records import write_atomically
from nfl_pruning.report.plots import as_data_uri, draw
from nfl_pruning.statements.base import Quantity
from nfl_pruning.statements.verification import Checked, Verification

STYLE = """
:root { --ok: #00664d; --bad: #a03000; --open: #7a5c00; --line: #d9d9d9; --soft: #f5f6f7; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; color: #1c1c1c; background: #fff;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.2rem; line-height: 1.3; margin: 0; }
h3 { font-size: 1rem; margin: 1.1rem 0 .3rem; }
section { border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; margin: 1.2rem 0; }
.f { font-family: "Latin Modern Math", "STIX Two Math", Georgia, "DejaVu Serif", serif;
  font-style: italic; overflow-wrap: anywhere; }
.f sub, .f sup { line-height: 0; }
.badge { display: inline-block; padding: .05rem .5rem; border-radius: 1rem; color: #fff;
  font-size: .85rem; font-weight: 600; white-space: nowrap; }
.supported { background: var(--ok); } .refuted { background: var(--bad); }
.inconclusive { background: var(--open); }
.wide { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; font-size: .88rem; width: 100%; }
th, td { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
tr.off td { background: #fff1ea; }
figure { margin: .8rem 0; max-width: 34rem; } figcaption { font-size: .9rem; color: #333; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
  gap: .5rem 1.2rem; }
img { width: 100%; height: auto; display: block; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: .85rem; }
pre { background: var(--soft); padding: .5rem .7rem; border-radius: .3rem; overflow-x: auto; }
summary { cursor: pointer; } ul { padding-left: 1.2rem; margin: .3rem 0; }
a { color: #0b57a4; } .quiet { color: #444; font-size: .92rem; }
@media (max-width: 34rem) {
  body { padding: .6rem; } section { padding: .7rem; }
  .numbers thead { display: none; }
  .numbers tr { display: grid; grid-template-columns: 1fr 1fr; padding: .4rem 0;
    border-bottom: 1px solid var(--line); }
  .numbers td { border: 0; padding: .05rem .2rem; text-align: left; white-space: normal; }
  .numbers td:first-child { grid-column: 1 / -1; font-weight: 600; }
  .numbers td.n { text-align: left; }
  .numbers td.n::before { content: attr(data-label) " "; color: #555; font-size: .8rem; }
}
"""


def write_report(found: Verification, out: Path) -> Path:
    """Write the page of a verification as ``out/report.html``; returns its path."""
    about = {
        "preset": found.preset,
        "seed": found.seed,
        "nfl-pruning": __version__,
        "written": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }
    text = page(found.checked, about)
    out.mkdir(parents=True, exist_ok=True)
    return write_atomically(out / "report.html", lambda file: file.write(text.encode()))


def formula(text: str) -> str:
    """Text with formulas between backticks as HTML; ``_{}`` and ``^{}`` become indices."""

    def one(found: re.Match[str]) -> str:
        inner = escape(found[1])
        for mark, tag in (("_", "sub"), ("\\^", "sup")):
            inner = re.sub(mark + r"\{([^}]*)\}", rf"<{tag}>\1</{tag}>", inner)
            inner = re.sub(mark + r"([0-9A-Za-z*∞])", rf"<{tag}>\1</{tag}>", inner)
        return f'<span class="f">{inner}</span>'

    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        one(re.match(r"`([^`]*)`", part)) if part.startswith("`") else escape(part)
        for part in parts
    )


def number(value: float, digits: int = 4) -> str:
    """A number with few digits and a real minus sign."""
    return f"{value:.{digits}g}".replace("-", "−")


def page(entries: Sequence[Checked], about: dict[str, Any]) -> str:
    """The whole report.

    Args:
        entries: statements with evidence, in reading order.
        about: preset, seed, software, time, command: shown as they are.
    """
    good = sum(entry.as_expected for entry in entries)
    rows = "".join(
        f'<tr{"" if e.as_expected else " class=off"}><td><a href="#{e.statement.identifier}">'
        f"{escape(e.statement.title)}</a></td><td>{badge(e.evidence.verdict)}</td>"
        f"<td>{'refuted' if e.control_refuted else 'NOT refuted'}</td></tr>"
        for e in entries
    )
    facts = "; ".join(f"{escape(str(k))}: {escape(str(v))}" for k, v in about.items())
    body = "".join(section(entry, about) for entry in entries)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Data pruning: what holds, and where it stops</title><style>{STYLE}</style></head><body>
<h1>Data pruning: what holds, how strongly, and where it stops holding</h1>
<p>{good} of {len(entries)} statements have the expected verdict and a control that is refuted.
A verdict follows from one rule: every measured quantity must lie within its allowance of the
prediction (k standard errors, or a certified numerical error), and that allowance must be at most
half of the smallest difference that would matter. The control moves each prediction by that
difference, and must be refuted.</p>
<p class="quiet">{facts}.</p>
<div class="wide"><table><thead><tr><th>statement</th><th>verdict</th><th>control</th></tr></thead>
<tbody>{rows}</tbody></table></div>
{body}</body></html>
"""


def badge(verdict: str) -> str:
    """A verdict in colour; the word itself says the same."""
    return f'<span class="badge {verdict}">{verdict}</span>'


def section(entry: Checked, about: dict[str, Any]) -> str:
    """One statement: claim, assumptions, evidence, figures, how to run it again."""
    s, e = entry.statement, entry.evidence
    figures = "".join(
        f'<figure><figcaption>{escape(plot.title)}</figcaption><img loading="lazy" '
        f'alt="{escape(_alt(plot.title, plot.series))}" src="{as_data_uri(draw(plot))}"></figure>'
        for plot in e.measured.plots
    )
    remarks = "".join(f"<li>{escape(text)}</li>" for text in e.measured.remarks)
    again = f"nfl-pruning verify --only {s.identifier} --preset {e.preset} --seed {e.seed} --fresh"
    return f"""<section id="{s.identifier}"><h2>{escape(s.title)} {badge(e.verdict)}</h2>
<p>{formula(s.claim)}</p>
<h3>Assumptions</h3><ul>{"".join(f"<li>{formula(a)}</li>" for a in s.assumptions)}</ul>
<p class="quiet">Source: {formula(s.source)}<br>Expected: {s.expected}. {formula(s.why)}</p>
<h3>Evidence</h3><p>{escape(e.reason[:1].upper() + e.reason[1:])} Control (each prediction moved
up, down by what matters): {", ".join(entry.controls)}. Chance that another seed leaves it
inconclusive: {_chance(e.chance_undecided)}.</p>
{quantities(e.measured.quantities)}
{f"<ul class=quiet>{remarks}</ul>" if remarks else ""}<div class="figures">{figures}</div>
<h3>Run it again</h3><pre>{escape(again)}</pre>
<p class="quiet">Check: <code>{escape(s.module)}</code>; figure script:
<code>{escape(s.figure)}</code>; {number(e.seconds, 3)} s.</p></section>
"""


def _chance(value: float) -> str:
    return "below 1e−6" if value < 1e-6 else f"at most {number(value, 1)}"


def _alt(title: str, series: Sequence[Any]) -> str:
    names = ", ".join(one.label for one in series if one.label)
    return f"{title}. Curves: {names}."


def quantities(found: Sequence[Quantity]) -> str:
    """The table of numbers; a long one is folded."""
    rows = "".join(_row(quantity) for quantity in found)
    head = "".join(
        f"<th{' class=n' if i else ''}>{name}</th>"
        for i, name in enumerate(("quantity", "predicted", "measured", "allowance", "matters"))
    )
    table = (
        f'<div class="wide"><table class="numbers"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    if len(found) <= 12:
        return table
    return f"<details><summary>{len(found)} quantities</summary>{table}</details>"


def _row(q: Quantity) -> str:
    side = {"equals": "", "above": "&gt; ", "below": "&lt; "}[q.relation]
    spread = f" ± {number(q.error, 2)}" if q.dof is not None else ""
    cells = (
        ("predicted", side + number(q.predicted)),
        ("measured", number(q.measured) + spread),
        ("allowance", number(q.allowance, 2)),
        ("matters", number(q.matters, 2)),
    )
    off = "" if q.judge() == "supported" else " class=off"
    return (
        f"<tr{off}><td>{escape(q.name)}</td>"
        + "".join(f'<td class="n" data-label="{name}">{text}</td>' for name, text in cells)
        + "</tr>"
    )
