"""What ``compare`` shows: the verdict table, and a plot of differences from random."""

from __future__ import annotations

from typing import Any

import click

from nfl_pruning.cli.output.tables import number, print_table, with_error
from nfl_pruning.validation import format_number

NOTE = """\
Accuracy in per cent; differences in points with 95 % half widths over repeats;
p after Holm's correction at keep fractions up to 0.3, uncorrected above."""


def show(verdicts: dict[str, list[Any]], measures: dict[str, dict[float, dict[str, Any]]]) -> None:
    """The verdict table, and below it the measures by class, on standard output.

    Args:
        verdicts: measure -> every rule against plain random pruning.
        measures: measure -> keep fraction -> rule -> one value a repeat.
    """
    found, accuracy = verdicts["accuracy"], measures["accuracy"]
    rows = []
    for fraction, rules in sorted(accuracy.items()):
        judged = {v.rule for v in found if v.keep_fraction == fraction}
        for name in (name for name in rules if name not in judged):
            rows.append((format_number(fraction), name, *_mean(rules[name]), "", ""))
        for verdict in (v for v in found if v.keep_fraction == fraction):
            mean, failed = _mean(rules[verdict.rule])
            p = verdict.p_value if verdict.p_holm is None else verdict.p_holm
            gap = with_error(verdict.difference, verdict.half_width)
            text = verdict.text + failed
            rows.append((format_number(fraction), verdict.rule, mean, gap, number(p, 2), text))
    print_table(
        ("keep_fraction", "rule", "accuracy", "minus random", "p", "verdict"),
        rows,
        left=("rule", "verdict"),
        note=NOTE,
    )
    _show_by_class(verdicts, measures)
    from nfl_pruning.networks.comparison.result import turned

    for sentence in turned(verdicts):
        click.echo(f"Note: {sentence}")


def _show_by_class(
    verdicts: dict[str, list[Any]], measures: dict[str, dict[float, dict[str, Any]]]
) -> None:
    """Balanced and worst-class accuracy, each with its difference from random."""
    names, rows = ("balanced_accuracy", "worst_class_accuracy"), []
    gaps = {
        (name, v.keep_fraction, v.rule): with_error(v.difference, v.half_width)
        for name in names
        for v in verdicts[name]
    }
    for fraction, rules in sorted(measures["accuracy"].items()):
        for rule in rules:
            cells = [
                text
                for name in names
                for text in (
                    _mean(measures[name][fraction][rule])[0],
                    gaps.get((name, fraction, rule), ""),
                )
            ]
            rows.append((format_number(fraction), rule, *cells))
    print_table(
        ("keep_fraction", "rule", "balanced", "minus random", "worst class", "minus random"),
        rows,
        left=("rule",),
        note="Balanced: the mean over classes of the share classified right.",
    )


def report_settings(about: dict[str, Any]) -> None:
    """One sentence on what was compared."""
    when = ", ".join(str(epoch) for epoch in sorted(set(about["score_epochs"].values()))) or "-"
    gradient = f", {about['gradient']} gradient" if about["gradient"] else ""
    click.echo(
        f"{about['model']}, seed {about['seed']}; scores after epoch {when} of "
        f"{about['training']['epochs']}{gradient}; data_hash {about['data_hash'][:12]}."
    )
    if about["balance"] != "none":
        click.echo(
            f"Rules have {about['balance']} class quotas, random {about['balance']} as well; "
            "verdicts are against plain random pruning, which has none."
        )


def _mean(values: Any) -> tuple[str, str]:
    """Mean accuracy of the networks that have one, and a remark on those that diverged."""
    import numpy as np

    valid = 100 * np.asarray(values)[np.isfinite(values)]
    failed = len(values) - len(valid)
    return f"{valid.mean():.2f}" if len(valid) else "–", f", {failed} diverged" if failed else ""


def report_losses(accuracy: dict[float, dict[str, Any]]) -> None:
    """One sentence on networks without a result, where there are any."""
    import numpy as np

    total = sum(len(values) for rules in accuracy.values() for values in rules.values())
    failed = sum(
        int(np.isnan(values).sum()) for rules in accuracy.values() for values in rules.values()
    )
    if failed:
        click.echo(
            f"{failed} of {total} networks diverged (or their probe did) and are left out of means "
            "and tests."
        )


def draw(found: list[Any], path: str) -> None:
    """Difference from random against keep fraction, one line a rule."""
    from matplotlib.figure import Figure

    from nfl_pruning.archive import write_plot

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for rule in dict.fromkeys(verdict.rule for verdict in found):
        own = [v for v in found if v.rule == rule and v.half_width is not None]
        axes.errorbar(
            [v.keep_fraction for v in own],
            [v.difference for v in own],
            [v.half_width for v in own],
            label=rule,
            marker="o",
            capsize=2,
        )
    axes.axhline(0, color="black", linestyle="--", label="random")
    axes.set(xlabel="keep fraction", ylabel="accuracy minus random (points)", xscale="log")
    fractions = sorted({verdict.keep_fraction for verdict in found})
    axes.set_xticks(fractions, [format_number(fraction) for fraction in fractions])
    axes.minorticks_off()
    figure.legend(fontsize=7, loc="outside right upper", frameon=False)
    write_plot(figure, path, dpi=150)
