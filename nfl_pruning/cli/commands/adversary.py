"""``nfl-pruning adversary``: a data law on which a score fails, or how far none was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nfl_pruning.cli.options.shared import json_option, seed_option, shared
from nfl_pruning.cli.options.types import Whole

if TYPE_CHECKING:
    from nfl_pruning.adversary.find import Finding

HELP = """Search for a data law on which pruning by a score is not valid.

The score is a registered name or MODULE:FUNCTION, a function of (logits, labels, context) that
returns one number a sample, larger = harder; context.inputs holds the inputs. The family: two
clusters in the plane and labels by noisy steps. What is found is certified by quadrature with the
hard threshold and shown on samples.

\b
Examples:
  nfl-pruning adversary --score el2n --keep-fraction 0.3
  nfl-pruning adversary --score entropy --keep easiest --keep-fraction 0.5 --out law.png
  nfl-pruning adversary --score mymodule:myscore --keep-fraction 0.1 --json
"""


@click.command("adversary", help=HELP, short_help="A data law on which a score fails.")
@shared("--score", type=str, help="The score.")
@shared("--keep-fraction", help="In (0, 1).")
@shared("--keep", help="End of the score that stays: hardest or easiest.")
@seed_option
@click.option("--effort", default="6", show_default=True, metavar="N", type=Whole(1),
              help="Starting points of the search, >= 1.")  # fmt: skip
@click.option("--out", default=None, metavar="FILE", type=click.Path(path_type=Path),
              help="Plot of the law, .png or .pdf.")  # fmt: skip
@shared("--force", help="Replace an existing plot.")
@json_option
def command(
    score: str, keep_fraction: float, keep: str, seed: int, effort: int, out: Path | None,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Search, certify, simulate; print the outcome."""
    from nfl_pruning.adversary.find import find_adversary, load_score
    from nfl_pruning.archive import PLOTS, check_output

    if out is not None:
        check_output(out, endings=PLOTS, force=force)
    chosen, written = load_score(score, folder=Path.cwd()), None
    found = find_adversary(chosen, keep_fraction, keep=keep, seed=seed, effort=effort)
    if out is not None and found.certificate is not None:
        from nfl_pruning.report.adversary import draw_finding

        written = str(draw_finding(found, chosen, out))
    if as_json:
        from nfl_pruning.cli.output.tables import print_json

        print_json(found.to_dict() | {"out": written}, indent=2)
        return
    _print(found)
    if written:
        click.echo(f"Plot: {written}")
    elif out is not None:
        click.echo(f"No plot: there is no law to draw, so {out} was not written.")


def _print(found: Finding) -> None:
    from nfl_pruning.cli.output.tables import number, print_table, with_error

    click.echo(found.sentence)
    if found.certificate is None:
        return
    certificate, shown = found.certificate, found.simulated
    rows = []
    if certificate.resolved:
        rows += [
            ("limiting excess loss", f"{number(certificate.gap, 6)} ± {certificate.error:.1g}"),
            ("excess 0-1 error", number(certificate.error_gap, 4)),
        ]
    if shown is not None:
        rows.append((f"simulated, over random, n = {shown.n_samples}",
                     with_error(shown.mean, shown.error)))  # fmt: skip
    rows += [(f"law: {k.replace('_', ' ')}", number(v, 4))
             for k, v in certificate.law.to_dict().items()]  # fmt: skip
    title = f"score {found.score}, keep {found.keep} {found.keep_fraction:g}"
    print_table(("what", "value"), rows, title=title, note=found.comparison, left=("what",))
