"""Draw the evidence of the statements from the records of ``nfl-pruning verify``."""

from __future__ import annotations

from pathlib import Path

import click

from nfl_pruning.records import RecordStore
from nfl_pruning.report.plots import draw as draw_plot
from nfl_pruning.statements.base import measured_from

NAME = "statements"


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write one PDF and one PNG a plot, named after its statement; returns the paths."""
    written = []
    out.mkdir(parents=True, exist_ok=True)
    for record in store.select(kind="statement"):
        name = record["config"]["statement"]
        for number, plot in enumerate(measured_from(record["result"]["measured"]).plots, start=1):
            figure = draw_plot(plot)
            figure.axes[0].set_title(plot.title, fontsize=9, wrap=True)
            for ending in ("pdf", "png"):
                path = out / f"statement-{name}-{number}.{ending}"
                stamp = {"CreationDate": None} if ending == "pdf" else {"Software": None}
                figure.savefig(path, dpi=200, metadata=stamp)
                written.append(path)
    return written


@click.command(help="Draw the statements' evidence from the records of nfl-pruning verify.")
@click.option("--records", default="verification/records", show_default=True)
def main(records: str) -> None:
    """Draw into the folder ``output`` beside this script."""
    for path in draw(RecordStore(records), Path(__file__).parent / "output"):
        click.echo(path)


if __name__ == "__main__":
    main()
