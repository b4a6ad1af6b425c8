"""The family of policies that the search knows, and what tuning and confirming have in common."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nfl_pruning.data import Dataset, load_dataset
from nfl_pruning.networks.comparison.arms import Arm, make_arm
from nfl_pruning.networks.comparison.experiment import probe_scores, refit
from nfl_pruning.networks.comparison.splits import Split, make_split, noisy_labels
from nfl_pruning.networks.models import make_model
from nfl_pruning.networks.training import Training
from nfl_pruning.scores import SCORES

Candidate = dict[str, Any]

SIZES = ("el2n", "grand", "least-confidence")  # scores that are sizes of errors
VALIDATION = 1 / 6  # of the training images, in tuning
TUNING, FRESH = 1, 2  # roots of the seeds of the two halves

HARDEST = [
    *[("soft:0", exploit) for exploit in (0.05, 0.1, 0.2, 0.5, 0.9)],
    *[("soft:0.5", exploit) for exploit in (0.1, 0.3)],
    *[("exact", exploit) for exploit in (0.05, 0.2, 0.5)],
    ("clipped:4", 0.2),
    *[("stratified:20", exploit) for exploit in (0.0, 0.1, 0.3)],
    *[("middle:0.1:0", exploit) for exploit in (0.1, 0.2, 0.5)],
    *[("middle:0.3:0", 0.5), ("middle:0.1:1", 0.2)],
]
# What tuning on the first family led to: it was best at an end of these numbers.
WIDER = [
    *[("middle:0.3:0", exploit) for exploit in (0.2, 0.9)],
    *[("middle:0.5:0", exploit) for exploit in (0.2, 0.5, 0.9)],
    *[("middle:0.7:0", exploit) for exploit in (0.5, 0.9)],
]
EASIEST = [("threshold", 1.0), ("soft:0", 0.2), ("soft:0", 0.5), ("exact", 0.2)]

RANDOM: Candidate = {"name": "random", "protocol": "random"}


def candidate(score: str, protocol: str, exploit: float, **more: Any) -> Candidate:
    """A policy as plain values, with a name for tables."""
    keep = more.get("keep", "hardest")
    words = [score, keep, protocol]
    words += [f"exploit {exploit:g}"] if protocol != "threshold" else []
    words += [
        {"explored": "class quotas", "batch": "batch weights"}[value]
        for name, value in more.items()
        if name != "keep"
    ]
    found = {"name": " ".join(words), "score": score, "protocol": protocol, "exploit": exploit}
    return found | {"keep": keep} | more


def family(scores: list[str], *, wider: bool = False) -> list[Candidate]:
    """Every policy that is tried, random apart."""
    found = [RANDOM | {"name": "random class quotas", "balance": "proportional"}]
    for score in scores:
        found += [candidate(score, *choice) for choice in [*HARDEST, *WIDER * wider]]
        found.append(candidate(score, "exact", 0.2, balance="explored"))
        found.append(candidate(score, "exact", 0.2, normalised="batch"))
        if score in SIZES:
            found += [candidate(score, "neyman:20:0.5", exploit) for exploit in (0.0, 0.1)]
            found.append(candidate(score, "neyman:20:0.2", 0.0))
        found += [candidate(score, *choice, keep="easiest") for choice in EASIEST]
    return found


def is_calibrated(policy: Candidate) -> bool:
    """Whether it spends some of the budget on the hard end and draws the rest by lot."""
    name = policy["protocol"].split(":")[0]
    explores = name not in ("threshold", "window", "random")
    return explores and policy["exploit"] > 0 and policy["keep"] == "hardest"


def is_unbiased(policy: Candidate) -> bool:
    """Whether what it draws by lot weighs the inverse of its keep probability."""
    name, *numbers = policy["protocol"].split(":")
    whole = name in ("exact", "stratified", "neyman") or (name == "middle" and numbers[1] == "1")
    return whole and policy.get("normalised", "kept") == "kept"


KINDS = {"any": lambda policy: True, "calibrated": is_calibrated, "unbiased": is_unbiased}
"""What is declared at each fraction: the best of all policies, and the best of two kinds."""


def arm(policy: Candidate) -> Arm:
    """The rule of a policy."""
    return make_arm(**{name: value for name, value in policy.items() if name != "normalised"})


@cache
def parts(data: str) -> tuple[Dataset, Dataset]:
    """Images to tune and train on, and images that only confirming reads.

    A data set without a test part gives three tenths, always the same ones.
    """
    whole = load_dataset(data)
    if data != "digits":
        return whole, load_dataset(data, part="test")
    order = np.asarray(jax.random.permutation(jax.random.key(0), len(whole)))
    cut = len(whole) * 7 // 10
    return whole.take(np.sort(order[:cut])), whole.take(np.sort(order[cut:]))


@cache
def split_of(data: str, n_train: int | None, label_noise: float, stage: int, repeats: int) -> Split:
    """Rows of all repeats; in tuning the test rows are a validation part of the training images.

    Validation labels are as noisy as the training labels: nobody has clean ones.
    """
    train, test = parts(data)
    root = jax.random.fold_in(jax.random.key(stage), 0)
    sizes: dict[str, Any] = {"repeats": repeats, "label_noise": label_noise}
    if stage == FRESH:
        return make_split(root, train, test, n_train=n_train, **sizes)
    size = None if n_train is None else int(n_train * (1 - VALIDATION))
    found = make_split(root, train, test_fraction=VALIDATION, n_train=size, **sizes)
    spoilt = [
        noisy_labels(jax.random.fold_in(root, 1000 + i), own, label_noise, found.n_classes)
        for i, own in enumerate(found.test_labels)
    ]
    return replace(found, test_labels=np.array(spoilt))


class Bench:
    """One repeat of a setting in one half of the seeds: scores its images, tries policies.

    Args:
        setting: of the experiment.
        stage: ``TUNING`` or ``FRESH``.
        repeat: number of the repeat.
        repeats: how many that half has.
    """

    def __init__(self, setting: dict[str, Any], stage: int, repeat: int, repeats: int) -> None:
        size = setting["n_train"]
        if stage == TUNING:
            size = setting.get("n_tuning", size)
        split = split_of(setting["data"], size, setting["label_noise"], stage, repeats)
        self.setting, self.split = setting, split.only(repeat)
        self.root = jax.random.fold_in(jax.random.key(stage), 1)
        self.model = make_model(setting["model"], self.split.n_classes, self.split.shape)
        self.training = Training(setting["epochs"], setting["batch_size"], budget=setting["budget"])
        self.keys: dict[str, np.ndarray] = {}

    def score(self, names: set[str]) -> None:
        """Rank keys of the scores named, where not yet there; GraNd is a mean over probes."""
        names = names - set(self.keys)
        rest = {"model": self.model, "training": self.training}
        single = [SCORES[name] for name in sorted(names - {"grand"})]
        epochs = {
            score.name: self.setting["epochs" if "trajectory" in score.needs else "score_epoch"]
            for score in single
        }
        self.keys |= probe_scores(self.root, self.split, scores=single, epochs=epochs, **rest)
        if "grand" in names:
            score, number = SCORES["grand"], int(self.split.numbers[0])
            many = self.setting["grand_probes"]
            stack = replace(
                self.split,
                **{
                    name: np.repeat(getattr(self.split, name), many, axis=0)
                    for name in ("train_rows", "train_labels")
                },
                numbers=np.arange(many) + 10_000 + many * number,
            )
            when = {"grand": self.setting["grand_epoch"]}
            found = probe_scores(self.root, stack, scores=[score], epochs=when, **rest)["grand"]
            with jax.enable_x64(True):
                self.keys["grand"] = np.asarray(score.publish(jnp.asarray(found))).mean(0)[None]

    def accuracies(self, policies: list[Candidate], fraction: float) -> dict[str, float]:
        """Accuracy on the split's test rows after pruning by each policy; NaN where it diverged."""
        found: dict[str, float] = {}
        for how in ("kept", "batch"):
            own = [one for one in policies if one.get("normalised", "kept") == how]
            if own:
                outcomes = refit(
                    self.root,
                    self.split,
                    self.keys,
                    arms=[arm(policy) for policy in own],
                    keep_fraction=fraction,
                    model=self.model,
                    training=replace(self.training, normalised=how),
                )
                found |= {name: float(one.accuracy[0]) for name, one in outcomes.items()}
        return {policy["name"]: found[policy["name"]] for policy in policies}
