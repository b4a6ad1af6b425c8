"""Search of networks: whether a calibrated policy beats random at high compression.

Policies are tuned on one half of the seeds, by a validation part of the training images, in rounds
that keep fewer of them and try those on more seeds. The winner of each keep fraction is declared in
a record of its own; then it meets random pruning on the other half of the seeds, trained on all
training images and tested on images that no tuning read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from _cells import Progress
from _expected import expectations
from _search import (
    FRESH,
    KINDS,
    RANDOM,
    TUNING,
    Bench,
    Candidate,
    candidate,
    family,
    parts,
    split_of,
)
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.numerics.programs import release_programs
from nfl_pruning.records import RecordStore
from nfl_pruning.validation import format_number

NAME = "networks_search"

Setting = dict[str, Any]

SCHEDULE = ("rounds", "fresh")  # how many repeats are run, which changes none of them

BASE: Setting = {
    "data": "fashion-mnist",
    "n_train": None,
    "model": "mlp",
    "label_noise": 0.0,
    "budget": "epochs",
    "epochs": 10,
    "score_epoch": 5,
    "grand_probes": 10,
    "grand_epoch": 1,
    "batch_size": 128,
    "scores": ["el2n", "grand", "least-confidence", "deepfool", "forgetting"],
    "fractions": [0.03, 0.1, 0.3],
    # Seeds of each round of tuning, and how many policies enter it at each fraction.
    "rounds": [[2, None], [4, 16]],
    "fresh": 20,
}
STEPS = {"n_train": 12000, "budget": "steps", "wider": True}
# Tuned on a fifth of the images, for the sake of time; declared policies meet all of them.
CNN = {"model": "cnn", "rounds": [[1, None], [2, 8]], "fresh": 5, "epochs": 5, "score_epoch": 3}
CNN |= {"n_tuning": 12000}
NOISE = {"label_noise": 0.15}
FEWER = {"n_train": 12000, "wider": True}
# Sized for ten minutes of one large accelerator, where all policies of a round train as one stack.
RESNET = {"model": "resnet", "scores": ["el2n", "grand"], "grand_probes": 4, "wider": True}
RESNET |= {"rounds": [[1, None], [2, 8]], "fresh": 5, "epochs": 5, "score_epoch": 3}

PRESETS: dict[str, list[Setting]] = {
    "quick": [
        BASE
        | {"data": "digits", "batch_size": 32, "grand_probes": 2, "scores": ["el2n"]}
        | {"fractions": [0.1, 0.3], "rounds": [[1, None], [1, 3]], "fresh": 4}
    ],
    "paper": [BASE, BASE | FEWER | NOISE, BASE | FEWER],
}
# Hours of work each, that stop and resume at will.
PRESETS |= {
    "wider": [BASE | {"wider": True}, BASE | NOISE | {"wider": True}],
    "steps": [BASE | STEPS, BASE | STEPS | NOISE],
    "cnn": [BASE | CNN, BASE | CNN | NOISE],
    "gpu": [BASE | RESNET | {"data": data} for data in ("cifar-10", "cifar-100", "fashion-mnist")],
}


class Search:
    """One setting: its records are looked up, or computed and kept.

    Args:
        setting: an entry of ``PRESETS``.
        store: where records are.
        configs: of all records so far; those of this setting are added.
        tick: called with the number of records so far.
    """

    def __init__(
        self,
        setting: Setting,
        store: RecordStore,
        configs: list[dict[str, Any]],
        tick: Callable[[int], Any],
    ) -> None:
        self.setting, self.store, self.configs, self.tick = setting, store, configs, tick
        self._bench: tuple[tuple[int, int], Bench] | None = None

    def once(self, kind: str, compute: Callable[[], dict[str, Any]], **more: Any) -> dict[str, Any]:
        """A record's result."""
        about = {name: value for name, value in self.setting.items() if name not in SCHEDULE}
        config = {"kind": f"{NAME} {kind}", **about, **more}
        self.configs.append(config)
        found = self.store.get(config)
        if found is None:
            self.store.put(config, compute())
            found = self.store.get(config)
            release_programs()
        self.tick(len(self.configs))
        assert found is not None
        return found

    def bench(self, stage: int, repeat: int, scores: set[str]) -> Bench:
        """The repeat's images and these scores; the last repeat is at hand."""
        if self._bench is None or self._bench[0] != (stage, repeat):
            seeds = sum(count for count, _ in self.setting["rounds"])
            repeats = self.setting["fresh"] if stage == FRESH else seeds
            self._bench = ((stage, repeat), Bench(self.setting, stage, repeat, repeats))
        self._bench[1].score(scores)
        return self._bench[1]

    def tried(
        self, stage: int, repeat: int, policies: dict[float, list[Candidate]]
    ) -> dict[float, dict[str, float]]:
        """Accuracy of random and of the policies of each fraction in one repeat, by name."""
        everything = [one for own in policies.values() for one in own]
        scores = {one["score"] for one in everything if "score" in one}
        kind, found = "tuning" if stage == TUNING else "fresh", {}
        for fraction, own in policies.items():
            chosen = [RANDOM, *own]

            def compute(chosen: list[Candidate] = chosen, r: float = fraction) -> dict[str, Any]:
                return {"accuracy": self.bench(stage, repeat, scores).accuracies(chosen, r)}

            about = {"repeat": repeat, "fraction": fraction, "policies": chosen}
            seen = self.once(kind, compute, **about)["accuracy"]
            found[fraction] = {name: np.nan if v is None else v for name, v in seen.items()}
        return found

    def _family(self) -> list[Candidate]:
        return family(self.setting["scores"], wider=self.setting.get("wider", False))

    def tune(self) -> dict[str, Any]:
        """The rounds of tuning, and what they declare at each fraction."""
        gains: dict[float, dict[str, list[float]]] = {r: {} for r in self.setting["fractions"]}
        known = {policy["name"]: policy for policy in self._family()}
        left = {fraction: list(known.values()) for fraction in gains}
        repeat = 0
        for seeds, entering in self.setting["rounds"]:
            for fraction, policies in left.items():
                if entering is not None:
                    left[fraction] = best(policies, gains[fraction], entering)
            for _ in range(seeds):
                for fraction, found in self.tried(TUNING, repeat, left).items():
                    for name in (policy["name"] for policy in left[fraction]):
                        gain = found[name] - found["random"]
                        gains[fraction].setdefault(name, []).append(gain)
                repeat += 1
        rounds = self.setting["rounds"]
        return self.once("declared", lambda: declared(left, gains), rounds=rounds)

    def confirm(self, winners: dict[str, Any]) -> None:
        """The declared policies, and the hard rule of the calibrated one, on fresh seeds."""
        first: dict[float, list[Candidate]] = {}
        then: dict[float, list[Candidate]] = {}
        for fraction in self.setting["fractions"]:
            own = winners[format_number(fraction)]
            best_two = [own["any"]["policy"], own["calibrated"]["policy"]]
            hard = candidate(own["calibrated"]["policy"]["score"], "threshold", 1.0)
            first[fraction] = list({one["name"]: one for one in [*best_two, hard]}.values())
            if own["unbiased"]["policy"] not in first[fraction]:
                then[fraction] = [own["unbiased"]["policy"]]
        for policies in (first, then):
            for fraction, own in policies.items():  # high compression, which is the question, first
                for repeat in range(self.setting["fresh"]):
                    self.tried(FRESH, repeat, {fraction: own})


def best(policies: list[Candidate], gains: dict[str, list[float]], count: int) -> list[Candidate]:
    """The ``count`` policies of the largest mean gain, with at least two of each kind."""
    order = sorted(policies, key=lambda one: -mean_gain(gains[one["name"]]))
    two = [policy for fits in KINDS.values() for policy in [p for p in order if fits(p)][:2]]
    names = {policy["name"] for policy in [*order[:count], *two]}
    return [policy for policy in order if policy["name"] in names]


def mean_gain(values: list[float]) -> float:
    """Mean over seeds; a policy whose network diverged once is out."""
    mean = float(np.mean(values))
    return mean if np.isfinite(mean) else -1.0


def declared(
    left: dict[float, list[Candidate]], gains: dict[float, dict[str, list[float]]]
) -> dict[str, Any]:
    """The winners of each kind, and what tuning saw."""
    found = {}
    for fraction, policies in left.items():
        order = best(policies, gains[fraction], len(policies))
        first = {kind: next(one for one in order if fits(one)) for kind, fits in KINDS.items()}
        found[format_number(fraction)] = {
            **{
                kind: {"policy": policy, "gains": gains[fraction][policy["name"]]}
                for kind, policy in first.items()
            },
            "finalists": {one["name"]: mean_gain(gains[fraction][one["name"]]) for one in order},
            "first_round": {name: values[0] for name, values in gains[fraction].items()},
        }
    return found


def settings(preset: str) -> list[Setting]:
    """Those whose data are on this machine; of the preset gpu the first."""
    found = []
    for setting in PRESETS[preset]:
        try:
            parts(setting["data"])
        except InvalidArgumentError:
            continue
        found.append(setting)
    return found[:1] if preset == "gpu" else found


def count_records(setting: Setting) -> int:
    """How many records a setting has at most: policies of two kinds can be one."""
    seeds = sum(count for count, _ in setting["rounds"])
    return (seeds + 2 * setting["fresh"]) * len(setting["fractions"]) + 1


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Tune, declare and confirm each setting; finished records are not computed again."""
    chosen = settings(preset)
    configs: list[dict[str, Any]] = []
    total = sum(count_records(setting) for setting in chosen)
    for setting in chosen:
        search = Search(setting, store, configs, lambda done: progress(done, total))
        search.confirm(search.tune())
    if preset == "paper":
        limits = Search({}, store, configs, lambda done: progress(min(done, total), total))
        expectations(limits.once, BASE["fractions"])
    present = {setting["data"] for setting in chosen}
    store.forget_others(configs, spare=lambda config: config.get("data") not in present)
    split_of.cache_clear()


if __name__ == "__main__":
    run_alone(__file__, run, presets=PRESETS)
