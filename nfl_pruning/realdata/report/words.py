"""The answer in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nfl_pruning.realdata.fitted.space import Space

if TYPE_CHECKING:
    from nfl_pruning.realdata.advice import Advice, Prediction


def shown(advice: Advice, value: float) -> str:
    """A value with its unit."""
    return f"{value:.3f}" if advice.target == "loss" else f"{value:.1f} %"


def answer(advice: Advice) -> list[str]:
    """Sentences for people; the first says what to do."""
    if advice.refused:
        return ["No advice: the theory does not describe these data.", *advice.reasons]
    return [_headline(advice), *_scores(advice), *_classes(advice), _cost(advice)]


def _headline(advice: Advice) -> str:
    name = {"accuracy": "accuracy", "worst-class": "worst class's accuracy", "loss": "test loss"}
    what, whole = name[advice.target], advice.all_data
    one = advice.smallest
    unit = "" if advice.target == "loss" else " points"
    if one is None:
        return (
            f"Do not prune: no fraction asked for stays within {advice.tolerance:g}{unit} of all "
            f"data ({what} {shown(advice, whole.value)})."
        )
    text = (
        f"Keep {100 * one.keep_fraction:g} % by {one.policy.label}: {what} "
        f"{shown(advice, one.value)} (90 % interval {shown(advice, one.low)} to "
        f"{shown(advice, one.high)}), all data {shown(advice, whole.value)}."
    )
    random = advice.random_at(one.keep_fraction)
    if one.policy.is_random:
        return f"{text} No score is known to do better there."
    needs = advice.random_needs(one)
    if not one.beats_random:
        return (
            f"{text} Its lead over random pruning ({shown(advice, random.value)}) is within the "
            "interval: random pruning may do as well, and needs no scores."
        )
    return f"{text} Random pruning would need {100 * needs:.0f} % for the same."


def _scores(advice: Advice) -> list[str]:
    """Where scores help, where they do not, and where they do harm."""
    helps, no_help, harm = [], [], []
    for fraction in advice.keep_fractions:
        best = advice.at(fraction)[0]
        text = f"{100 * fraction:g} %"
        if not best.policy.is_random and best.beats_random:
            helps.append(f"{text} ({best.policy.label}, +{abs(best.against_random):.2g})")
        else:
            no_help.append(text)
        bad = [p for p in advice.at(fraction) if p.against_random < -1.645 * p.against_random_error]
        worst = min(bad, key=lambda p: p.against_random, default=None)
        if worst is not None and worst.against_random < -1:
            harm.append(f"{text} ({worst.policy.label}, {worst.against_random:.1f})")
    found = []
    if helps:
        found.append(f"A score beats random pruning at {', '.join(helps)} kept.")
    if no_help:
        found.append(
            f"At {', '.join(no_help)} kept no score beats random by more than its interval."
        )
    if harm:
        found.append(f"Scores do harm at {', '.join(harm)} kept.")
    return found


def _classes(advice: Advice) -> list[str]:
    one = advice.smallest or _least_bad(advice)
    losing = advice.losing_classes(one)
    where = f"at {100 * one.keep_fraction:g} % kept by {one.policy.label}"
    if not losing:
        return [f"No class is predicted to lose more than a point {where}."]
    worst = sorted(losing.items(), key=lambda item: item[1])[:5]
    listed = ", ".join(f"{name} ({value:.1f})" for name, value in worst)
    return [f"Classes that lose, in points, {where}: {listed}."]


def _least_bad(advice: Advice) -> Prediction:
    return advice.recommended(advice.keep_fractions[-1])


def _cost(advice: Advice) -> str:
    cost, one = advice.cost, advice.smallest or _least_bad(advice)
    if one.policy.is_random:
        return "Random pruning needs no scores: it saves from the first training on."
    if not cost["scoring"]:
        return "The scores are there already: pruning saves from the first training on."
    count = cost["refits_until_it_pays"][str(one.keep_fraction)]
    return (
        f"Scoring costs about {cost['scoring']:g} trainings on all rows (where a training costs as "
        f"much as it has rows) and each later training saves {1 - one.keep_fraction:g} of one: it "
        f"pays from training {count} on."
    )


def notes(about: Mapping[str, Any], space: Space) -> list[str]:
    """How it was computed."""
    found = [space.sentence]
    if about["work_rows"] < about["n_samples"]:
        found.append(
            f"{about['work_rows']} random rows of {about['n_samples']} were used: predictions are "
            f"for that many rows before pruning."
        )
    if about["components_per_class"] is not None:
        found.append(
            f"A mixture of up to {about['components_per_class']} Gaussian components a class, "
            f"spread by {_mean(about['spread_factors']):.2f} so that refits to all rows err as "
            "real ones do, was simulated at the data's size."
        )
    if about.get("checks"):
        found.append(
            f"{about['checks']} cells were checked by real refits to {about['check_rows']} rows, "
            "tested on held-out rows."
        )
    found.append(
        f"The student is softmax regression with ridge {about['ridge']:g}, normalised by the rows "
        f"before pruning; scores come from the probe {about['probe']}."
    )
    return found


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
