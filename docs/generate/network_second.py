"""The second round of docs/networks.md: search, ranking of models, and what pruning costs."""

from __future__ import annotations

import json
from typing import Any

from network_extras import RECORDS, ROOT, SPEED
from nfl_pruning.experiments.scripts import load
from nfl_pruning.records import RecordStore

SEARCH = RECORDS / "paper" / "networks_search"
RANKING = RECORDS / "paper" / "networks_ranking"

INTRODUCTION = """\
## Second round: is there a calibrated policy that beats random?

The first round took one calibration: half exploited, full weights. The second searches. Policies
of five scores are tuned on seeds of their own by a validation part, a sixth of the training
images; the test images are not touched. They exploit 5 to 90 % of the budget, weigh what they
explore by the inverse keep probability to the power 0, 1/2 or 1, clip those weights or scale them
within a batch, explore by strata of the score (`stratified`, at equal rates; `neyman`, half of
the draw at rates that follow the score's size) or by class, exploit the hardest, the easiest, or
a band past the first share of the order (`middle:OFFSET:EXPONENT`). All take part in the first
round of tuning, the 16 best at each keep fraction in the next. Then three are declared at each
fraction: the best of all, the best that exploits the hard side and explores the rest, the best
whose explored part is unbiased (one policy can be all three). The declared ones meet random
pruning on fresh seeds, trained on all training images and tested once on the test images; Holm's
correction runs over all declared policies of all settings. `nfl-pruning compare --policy` takes
any of them on your own data. Computed by
[simulations/networks_search.py](../simulations/networks_search.py) (it stops and resumes; presets
`wider`, `steps`, `cnn` and `gpu` hold more), drawn by
[figures/networks_search.py](../figures/networks_search.py).

What stays unbiased: the weighted risk of `exact`, `stratified`, `neyman` and `middle:OFFSET:1`,
with or without class quotas. Exponents below 1, clipped weights and weights scaled within a batch
trade bias for variance.
"""


def points(value: float) -> str:
    """A difference in points."""
    return f"{value:+.1f}".replace("-", "−")


def said(policy: dict[str, Any]) -> str:
    """A policy in a reader's words."""
    if "score" not in policy:
        return policy["name"]
    name = policy["protocol"].split(":")[0]
    first = f"{policy['score']} {policy['keep']}, `{policy['protocol']}`"
    exploit = f", {100 * policy['exploit']:g} % exploited" if name != "threshold" else ""
    return first + exploit + (", class quotas" if policy.get("balance") else "")


def search() -> str:
    """What tuning declared, what fresh seeds say, and one sentence a fraction."""
    found = _settings()
    if not found:
        return ""
    figure = load(ROOT / "figures" / "networks_search.py")
    lines = [INTRODUCTION]
    for setting in found:
        seeds = sum(count for count, _ in setting.config["rounds"])
        lines += [
            f"### {figure.title(setting.config)}",
            "",
            f"{seeds} tuning seeds{_tuned_on(setting.config)}, {setting.fresh} fresh repeats; "
            "scores after epoch "
            f"{setting.config['score_epoch']} of {setting.config['epochs']}, forgetting at the "
            f"end, GraNd a mean over {setting.config['grand_probes']} probes after epoch "
            f"{setting.config['grand_epoch']}.",
            "",
            "| kept | declared as | policy | gain in tuning | gain on fresh seeds | p (Holm) |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(figure, one) for one in setting.declared]
        lines += ["", *[f"* {sentence(one)}" for one in setting.declared if one.kind == "any"], ""]
        lines += [best_by_protocol(figure, setting), ""]
    return "\n".join([*lines, expected(), ""])


def _tuned_on(config: dict[str, Any]) -> str:
    """How many images tuning had, where they were fewer."""
    return f" on {config['n_tuning']:,} images" if "n_tuning" in config else ""


def _settings() -> list[Any]:
    if not SEARCH.exists():
        return []
    return load(ROOT / "figures" / "networks_search.py").results(RecordStore(SEARCH))


def _row(figure: Any, one: Any) -> str:
    fresh, p = "not run", "–"
    if one.verdict is not None:
        mark = {"beats random": " **+**", "loses to random": " **−**"}.get(one.verdict.text, "")
        fresh = f"{points(one.verdict.difference)} ± {one.verdict.half_width:.1f}{mark}"
        p = f"{one.verdict.p_holm:.2g}"
    kind = figure.KINDS[one.kind]
    cells = (f"{100 * one.fraction:g} %", kind, said(one.policy), points(one.tuned), fresh, p)
    return "| " + " | ".join(cells) + " |"


def sentence(one: Any) -> str:
    """The answer at one keep fraction."""
    where = f"At {100 * one.fraction:g} % kept"
    if one.verdict is None:
        return (
            f"{where} no verdict yet: tuning declared {said(one.policy)} ({points(one.tuned)} "
            "points on validation images, chosen for being largest), and fresh seeds were not run."
        )
    verdict = {
        "beats random": "beats random",
        "loses to random": "loses to random",
        "undecided": "does not beat random beyond chance",
    }[one.verdict.text]
    gain = f"{points(one.verdict.difference)} ± {one.verdict.half_width:.1f} points"
    hard = ""
    if one.hard is not None:
        hard = f"; keeping the hardest by the same score gives {points(one.hard)}"
    return f"{where} {said(one.policy)} {verdict}: {gain}{hard}."


def best_by_protocol(figure: Any, setting: Any) -> str:
    """The best policy of every protocol in tuning, a row a protocol."""
    fractions = list(setting.tuning)
    by_fraction = {r: figure.protocols(setting, r) for r in fractions}
    names = sorted(
        by_fraction[fractions[0]], key=lambda name: -max(by_fraction[fractions[0]][name])
    )
    lines = [
        "Largest mean gain of each protocol in tuning, over scores and exploits (points; one to "
        f"{sum(count for count, _ in setting.config['rounds'])} seeds, and biased upwards):",
        "",
        "| protocol | " + " | ".join(f"{100 * r:g} % kept" for r in fractions) + " |",
        "|---" * (len(fractions) + 1) + "|",
    ]
    for name in names:
        cells = (
            points(max(by_fraction[r][name])) if name in by_fraction[r] else "–" for r in fractions
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def expected() -> str:
    """What the theory says of like policies."""
    records = [r for r in RecordStore(SEARCH).all() if r["config"]["kind"].endswith(" theory")]
    if not records:
        return ""
    errors: dict[str, dict[float, float]] = {}
    for record in records:
        config = record["config"]
        protocol, exploit, keep = config["policy"]
        name = f"{keep}, `{protocol}`, {100 * exploit:g} % exploited"
        name = {"random": "random", "threshold": f"keep {keep}"}.get(protocol, name)
        errors.setdefault(name, {})[config["fraction"]] = record["result"]["test_error"]
    config, fractions = records[0]["config"], sorted(errors["random"])
    lines = [
        "### What the theory expects",
        "",
        "Exact limits of logistic regression with a signal of "
        f"{config['signal']:g}, a probe of alignment {config['alignment']:g}, "
        f"{config['samples_per_feature']:g} samples per feature, EL2N: test error in %. Strata of "
        "one rate have the limit of exact calibration, whatever their number: what they gain is a "
        "matter of finite samples.",
        "",
        "| policy | " + " | ".join(f"{100 * r:g} % kept" for r in fractions) + " |",
        "|---" * (len(fractions) + 1) + "|",
    ]
    for name, own in sorted(errors.items(), key=lambda item: item[1][fractions[0]]):
        cells = (f"{100 * own[r]:.1f}" if own.get(r) is not None else "–" for r in fractions)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_best_rules()])


def _best_rules() -> list[str]:
    """What the best numbers and the best rule of the margin reach, where they were looked for."""
    lines = []
    for record in RecordStore(SEARCH).all():
        if record["config"]["kind"].endswith(" best"):
            found, kept = record["result"], 100 * record["config"]["fraction"]
            numbers = ", ".join(f"{name} {v:.2f}" for name, v in found["numbers"].items())
            lines.append(
                f"* At {kept:g} % kept the best numbers of soft calibration ({numbers}) reach "
                f"{100 * found['numbers_error']:.1f} %, the best rule of the probe's margin "
                f"{100 * found['rule_error']:.1f} %."
            )
    return [*lines, ""] if lines else []


def ranking() -> str:
    """Kendall's tau and regret, a row a rule."""
    records = RecordStore(RANKING).all() if RANKING.exists() else []
    if len(records) < 2:
        return ""
    figure = load(ROOT / "figures" / "networks_ranking.py")
    config, found = records[0]["config"], figure.table(records)
    lines = [
        "## Does pruned data choose the same network?",
        "",
        f"{len(config['configurations'])} configurations (MLPs and CNNs of several widths, depths, "
        f"learning rates and weight decays), {config['n_train']:,} images, equal epochs, "
        f"{len(records)} repeats. One half of the test images ranks what a subset trained, the "
        "other half what the same configuration is worth on all images: Kendall's tau, and the "
        "regret, the points lost by choosing on the subset; 95 % bootstrap intervals. Between the "
        f"halves of the test images tau is {figure.ceiling(records):.2f} with all images "
        "([figure](../figures/networks_ranking.py)).",
        "",
        "| rule | " + " | ".join(f"{100 * float(r):g} %: tau | regret" for r in found) + " |",
        "|---" * (2 * len(found) + 1) + "|",
    ]
    for rule, (_, label) in figure.LOOKS.items():
        cells = []
        for by_rule in found.values():
            one = by_rule[rule]
            cells += [
                f"{one.tau:.2f} ({one.tau_ends[0]:.2f} to {one.tau_ends[1]:.2f})",
                f"{one.regret:.1f} ({one.regret_ends[0]:.1f} to {one.regret_ends[1]:.1f})",
            ]
        lines.append(f"| {label} | " + " | ".join(cells).replace("-", "−") + " |")
    return "\n".join(lines) + "\n\n"


def break_even(*, epochs: int = 10, probe_epochs: int = 5) -> str:
    """After how many refits pruning has paid for its probe, from measured rates."""
    found = json.loads(SPEED.read_text(encoding="utf-8"))
    rates = {job["job"]: found["samples"] / job["ours"] for job in found["jobs"]}
    choosing = found.get("selection", {}).get("seconds_a_sample", 0.0)
    fractions = (0.03, 0.1, 0.3, 0.7)
    lines = [
        "## When does pruning pay?",
        "",
        "A probe of e epochs, scoring at s samples a second and selecting in c seconds a sample "
        "cost n (e / t + 1 / s + c), with t the rate of training; k refits of E epochs on a share "
        "r save k n E (1 − r) / t. With m probes they are even after",
        "",
        "k = (m (e + t / s) + c t) / (E (1 − r))",
        "",
        "refits; with equal steps nothing is saved. Random pruning pays nothing first: for the "
        "same work it may keep (m (e + t / s) + c t) / (k E) more of the data, the last column at "
        "k = 1, so a score must be worth that much. Rates are those of the table below, "
        f"E = {epochs}, e = {probe_epochs}, c = {1e6 * choosing:.2g} microseconds.",
        "",
        "| network and score | probes | t / s | "
        + " | ".join(f"k at {100 * r:g} % kept" for r in fractions)
        + " | random may keep, more |",
        "|---" * (len(fractions) + 4) + "|",
    ]
    for net in ("mlp", "cnn"):
        for score in ("el2n", "grand"):
            for probes in (1, 10):
                t, s = rates[f"{net} training"], rates[f"{net} {score}"]
                work = probes * (probe_epochs + t / s) + choosing * t
                cells = [f"{work / epochs / (1 - r):.1f}" for r in fractions]
                row = [f"{net.upper()}, {score}", str(probes), f"{t / s:.2f}", *cells]
                lines.append("| " + " | ".join([*row, f"{100 * work / epochs:.0f} %"]) + " |")
    return "\n".join(lines) + "\n\n"


def answer() -> str:
    """README's sentences: what calibration does, at each keep fraction, in the first settings."""
    found = [one for one in _settings() if any(own.verdict for own in one.declared)]
    if not found:
        return ""
    setting = found[0]
    tried, parts = len(next(iter(setting.tuning.values()))), []
    for one in setting.declared:
        if one.kind == "any" and one.verdict is not None:
            verb = "beats" if one.verdict.text == "beats random" else "does not beat"
            parts.append(f"{verb} random at {100 * one.fraction:g} % ({gain(one)} points)")
    unbiased = [gain(one) for one in setting.declared if one.kind == "unbiased" and one.verdict]
    more = (
        f" With weights that leave the risk unbiased the gains are {', '.join(unbiased)}."
        if len(unbiased) == len(parts)
        else ""
    )
    return (
        f"Searched for among {tried} policies of exploitation and exploration, calibration "
        f"enhances pruning, and {', '.join(parts)}: {setting.fresh} fresh paired repeats on the "
        f"test images, Holm's correction.{more}{''.join(map(_other, found[1:]))} Which policies: "
        "[docs/networks.md](docs/networks.md#second-round-is-there-a-calibrated-policy-that-"
        "beats-random)."
    )


def gain(one: Any) -> str:
    """Points over random on fresh seeds, and half their interval."""
    return f"{points(one.verdict.difference)} ± {one.verdict.half_width:.1f}"


def _other(setting: Any) -> str:
    """A sentence on a further setting: noisy labels or another network."""
    figure = load(ROOT / "figures" / "networks_search.py")
    config, first = setting.config, [one for one in setting.declared if one.kind == "any"]
    if config["model"] == "mlp" and not config["label_noise"]:
        return ""
    gains = [
        f"{gain(one)} ({one.verdict.text}) at {100 * one.fraction:g} %"
        for one in first
        if one.verdict
    ]
    return f" {figure.title(config)}, {setting.fresh} repeats: {', '.join(gains)}."
