"""The report of a verification as one HTML file that needs nothing else."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from nfl_pruning import __version__
from nfl_pruning.records import write_atomically
from nfl_pruning.report.plots import as_data_uri, draw
from nfl_pruning.statements.verification import Checked, Verification


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


def page(entries: Sequence[Checked], about: dict[str, Any]) -> str:
    """The whole report.

    Args:
        entries: statements with evidence, in reading order.
        about: preset, seed, software, time: shown as they are.
    """
    good = sum(entry.as_expected for entry in entries)
    return _template().render(entries=entries, about=about, good=good)


def style() -> str:
    """The style that all pages of the package share."""
    return (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


@cache
def _template() -> Template:
    """The page with its holes; what is put into them is escaped."""
    environment = Environment(
        loader=PackageLoader("nfl_pruning", "report"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {
        "formula": formula,
        "number": number,
        "picture": lambda plot: as_data_uri(draw(plot)),
        "probability": _probability,
    }
    return environment.get_template("page.html.jinja")


def formula(text: str) -> Markup:
    """Text with formulas between backticks as HTML; ``_{}`` and ``^{}`` become indices."""

    def one(text: str) -> str:
        inner = str(escape(text))
        for mark, tag in (("_", "sub"), ("\\^", "sup")):
            inner = re.sub(mark + r"\{([^}]*)\}", rf"<{tag}>\1</{tag}>", inner)
            inner = re.sub(mark + r"([0-9A-Za-z*∞])", rf"<{tag}>\1</{tag}>", inner)
        return f'<span class="f">{inner}</span>'

    parts = re.split(r"(`[^`]*`)", text)
    return Markup(
        "".join(one(part[1:-1]) if part.startswith("`") else str(escape(part)) for part in parts)
    )


def number(value: float, digits: int = 4) -> str:
    """A number with few digits and a real minus sign."""
    return f"{value:.{digits}g}".replace("-", "−")


def _probability(value: float) -> str:
    return "below 1e−6" if value < 1e-6 else f"at most {number(value, 1)}"
