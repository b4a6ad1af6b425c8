"""The report of an advice as one HTML file that needs nothing else."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfl_pruning.archive import check_no_input, real_place
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.records import write_atomically
from nfl_pruning.report.page import style
from nfl_pruning.report.plots import as_data_uri
from nfl_pruning.validation import check_writable

if TYPE_CHECKING:
    from nfl_pruning.realdata.advice import Advice, Prediction

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Advice on pruning {name}</title><style>{style}
.say p:first-child {{ font-size: 1.15rem; font-weight: 600; }}
tr.best td {{ background: #eef7f2; font-weight: 600; }}
.wide table {{ min-width: 34rem; }} .wide td:first-child {{ min-width: 9rem; }}
</style></head><body>
"""


def write_page(advice: Advice, path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write the report.

    Args:
        advice: what to report.
        path: ends in .html.
        force: whether a file that exists may be replaced.

    Raises:
        InvalidArgumentError: another ending, no such folder, or a file that is there already.
    """
    target = check_page(path, force=force, inputs=[advice.source.dataset.source])
    text = page(advice).encode()
    write_atomically(Path(os.path.realpath(target)), lambda file: file.write(text))
    return target


def check_page(path: str | os.PathLike[str], *, force: bool, inputs: list[Any]) -> Path:
    """The path of a page that may be written."""
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise InvalidArgumentError(
            f"report must be a file name that ends in .html; got {str(path)!r}."
        )
    place = real_place("report", target)
    check_no_input("report", target, inputs)
    if place.exists() and not force:
        raise InvalidArgumentError(
            f"report exists already: {str(path)!r}; pass --force to replace it."
        )
    check_writable("report", place.parent)
    return target


def page(advice: Advice) -> str:
    """The whole page."""
    name = escape(advice.source.dataset.name)
    parts = [HEAD.format(name=name, style=style()), f"<h1>Should {name} be pruned?</h1>"]
    parts.append(
        '<section class="say">' + "".join(f"<p>{escape(s)}</p>" for s in advice.sentences())
    )
    parts += [f"<p>Note: {escape(flag)}</p>" for flag in advice.flags]
    parts.append("</section>")
    if not advice.refused:
        parts += [_curves(advice), _decisions(advice), _rows(advice), _all_cells(advice)]
    parts += [_how(advice), "</body></html>\n"]
    return "\n".join(parts)


def _figure(figure: Any, caption: str) -> str:
    image = f'<img alt="{escape(caption)}" src="{as_data_uri(figure)}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _curves(advice: Advice) -> str:
    caption = (
        "Lines are predictions for these data, bands hold a single refit with 90 % chance; open "
        f"points are real refits to {advice.about['check_rows']} rows, tested on held-out rows."
    )
    return f"<section><h2>What is left</h2>{_figure(advice.plot(), caption)}</section>"


def _interval(one: Prediction, loss: bool) -> str:
    form = "{:.3f} to {:.3f}" if loss else "{:.1f} to {:.1f}"
    return form.format(one.low, one.high)


def _value(value: float | None, loss: bool) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if loss else f"{value:.1f}"


def _table(heads: list[str], rows: list[tuple[list[str], bool]]) -> str:
    head = "".join(f'<th class="{"" if i < 1 else "n"}">{h}</th>' for i, h in enumerate(heads))
    body = []
    for cells, best in rows:
        own = "".join(
            f'<td class="{"" if i < 1 else "n"}">{escape(c)}</td>' for i, c in enumerate(cells)
        )
        body.append(f'<tr class="{"best" if best else ""}">{own}</tr>')
    inner = f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
    return f'<div class="wide"><table>{inner}</table></div>'


def _decisions(advice: Advice) -> str:
    loss, rows = advice.target == "loss", []
    for fraction in advice.keep_fractions:
        one, smallest = advice.recommended(fraction), advice.smallest
        best = smallest is not None and fraction == smallest.keep_fraction
        losing = ", ".join(advice.losing_classes(one)) or "none"
        cells = [
            f"{100 * fraction:g} %: {one.policy.label}",
            _value(one.value, loss),
            _interval(one, loss),
            f"{100 * advice.random_needs(one):.0f} %",
            losing if len(losing) < 60 else f"{len(advice.losing_classes(one))} classes",
        ]
        rows.append((cells, best))
    heads = ["kept, by", "predicted", "90 % interval", "random needs", "classes that lose"]
    text = "The marked row is the least fraction within tolerance of all data."
    if advice.smallest is None:
        text = "No fraction asked for is within tolerance of all data."
    return f"<section><h2>For each budget</h2><p>{text}</p>{_table(heads, rows)}</section>"


def _rows(advice: Advice) -> str:
    from nfl_pruning.realdata.report.pictures import draw_classes, draw_map

    fraction = (advice.smallest or advice.recommended(advice.keep_fractions[-1])).keep_fraction
    pruned = advice.apply(fraction)
    of_map = "Rows on the two leading principal directions, one colour a class."
    of_bars = "Classes before and after."
    figures = _figure(draw_map(advice, pruned), of_map) + _figure(draw_classes(pruned), of_bars)
    head = f"Which rows stay at {100 * fraction:g} %"
    return f'<section><h2>{head}</h2><div class="figures">{figures}</div></section>'


def _all_cells(advice: Advice) -> str:
    loss, rows = advice.target == "loss", []
    for one in sorted(advice.predictions, key=lambda p: (p.keep_fraction, p.policy.label)):
        name = "all data" if one.keep_fraction == 1 else one.policy.label
        gap = "" if one.policy.is_random else f"{one.against_random:+.2f}"
        cells = [
            f"{100 * one.keep_fraction:g} %: {name}",
            _value(one.value, loss),
            _interval(one, loss),
            gap,
            _value(one.measured, loss),
            one.predictor,
        ]
        rows.append((cells, False))
    heads = ["kept, by", "predicted", "90 % interval", "against random", "measured", "from"]
    inner = _table(heads, rows)
    return f"<section><details><summary>All predictions</summary>{inner}</details></section>"


def _how(advice: Advice) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in advice.notes)
    seen = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td class='n'>{_number(value)}</td></tr>"
        for name, value in advice.diagnostics.to_dict().items()
    )
    table = f'<div class="wide"><table>{seen}</table></div>'
    return f"<section><h2>How it was computed</h2><ul>{notes}</ul>{table}</section>"


def _number(value: Any) -> str:
    if value is None:
        return "not asked"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
