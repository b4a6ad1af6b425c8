"""Score every sample of a data set by networks that were trained on it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.archive import write_archive
from nfl_pruning.data.dataset import Dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.networks import standardising
from nfl_pruning.networks.gradients import check_scope
from nfl_pruning.networks.learned import check_learning
from nfl_pruning.networks.models import make_model
from nfl_pruning.networks.scoring import Look, check_epoch, train_and_score
from nfl_pruning.networks.training import USUAL, Training, make_samples
from nfl_pruning.pruning.plausible import chance_notes, far_out_notes
from nfl_pruning.records import plain, settings_of_jax, software
from nfl_pruning.scores import SCORES
from nfl_pruning.scores.base import Score
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_integer, check_number, check_seed

Progress = Callable[[int, int], Any]


@dataclass(frozen=True)
class NetworkScores:
    """Scores of n samples by networks, and how they were computed.

    Attributes:
        values: in data-set order, larger = harder, shape (n,); NaN for protected rows.
        ids: what the rows are called, shape (n,), where the data say it.
        data_hash: of the data set that was scored.
        config: everything that decided the scores, as plain values.
        seconds: of training and scoring.
        warnings: sentences that the user should read.
    """

    values: np.ndarray
    ids: np.ndarray | None
    data_hash: str
    config: dict[str, Any]
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """The three quartiles of the scores."""
        low, middle, high = np.nanquantile(self.values, [0.25, 0.5, 0.75])
        return float(low), float(middle), float(high)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the scores themselves left out."""
        about = {"data_hash": self.data_hash, "seconds": self.seconds}
        return self.config | {"warnings": list(self.warnings)} | about

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        force: bool = False,
        inputs: Iterable[str | os.PathLike[str] | None] = (),
    ) -> Path:
        """Write a .npz with ``scores``, ``ids`` where there are any, ``data_hash`` and ``config``.

        Args:
            path: ends in .npz.
            force: whether a file that exists may be replaced.
            inputs: files that must stay as they are.

        Raises:
            InvalidArgumentError: see :func:`nfl_pruning.archive.check_output`.
        """
        arrays = {"scores": self.values} | ({} if self.ids is None else {"ids": self.ids})
        stated: dict[str, Any] = {"data_hash": self.data_hash, "config": self.config}
        return write_archive(path, arrays, **stated, force=force, inputs=inputs)


@dataclass(frozen=True)
class ScoringPlan:
    """How networks score a data set; checked when built.

    Attributes:
        seed: whole number in [0, 2^32).
        score: registered name, or a score.
        epochs: passes after which samples are scored (averaged over), each in
            0 .. ``training.epochs``; after the last by default.
        n_networks: networks that are averaged over, >= 1.
        model: name of the network.
        gradient: which gradient GraNd means: ``"full"``, ``"last-layer"`` or ``"logits"``.
        check_share: rows held out from one more network, to see what it has learned, in [0, 0.5];
            0: none.
        training: how networks are trained.
    """

    seed: int
    score: Score | str = "el2n"
    epochs: Sequence[int] | None = None
    n_networks: int = 1
    model: str = "mlp"
    gradient: str = "full"
    check_share: float = 0.2
    training: Training = USUAL

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_number("check", self.check_share, "[0, 0.5]")
        check_scope(self.gradient, [self.member])
        check_integer("models", self.n_networks, 1)
        self.look.check()
        if not self.when:
            raise InvalidArgumentError("epochs must name one epoch at least; got none.")
        for epoch in self.when:
            check_epoch(epoch, self.training, self.member)

    @property
    def member(self) -> Score:
        """The score itself."""
        return self.score if isinstance(self.score, Score) else SCORES[self.score]

    @property
    def when(self) -> list[int]:
        """The epochs, in order."""
        return [self.training.epochs] if self.epochs is None else sorted(self.epochs)

    @property
    def look(self) -> Look:
        """What is computed about samples."""
        return Look((self.member,), self.gradient, seed=self.seed)

    def describe(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "score": self.member.name,
            "direction": "larger = harder",
            "model": self.model,
            "models": self.n_networks,
            "epochs": self.when,
            "gradient": self.gradient if self.member.name == "grand" else None,
            "augmentation": "off",
            "seed": self.seed,
            "training": asdict(self.training),
        }


@with_own_settings
def score(
    dataset: Dataset, plan: ScoringPlan, *, progress: Progress | None = None
) -> NetworkScores:
    """Train networks on all samples and score these same samples; larger = harder.

    Each network has its own start and its own order; augmentation is off while scoring. A network
    that diverges is left out of the average. Protected rows are neither trained on nor scored.

    Args:
        dataset: n samples.
        plan: which score, by which networks, such as ``ScoringPlan(seed=0, score="grand")``.
        progress: called with (epochs done, epochs in all).

    Raises:
        InvalidArgumentError: the model does not fit the data, or all networks diverged.
    """
    if dataset.protected is not None:
        inner, values = score(dataset.candidates, plan, progress=progress), np.empty(len(dataset))
        values[dataset.protected], values[~dataset.protected] = np.nan, inner.values
        return replace(inner, values=values, ids=dataset.ids, data_hash=dataset.hash)
    network = make_model(plan.model, len(dataset.classes), dataset.shape)
    x = jnp.asarray(standardising.network_inputs(dataset.x, is_image=dataset.is_image))
    start = time.perf_counter()
    scored = _train_and_score(plan, network, x, dataset, progress)
    checked = check_learning(
        jax.random.fold_in(jax.random.key(plan.seed), plan.n_networks),
        (x, dataset.y),
        share=plan.check_share,
        model=network,
        training=plan.training,
        until=plan.when[-1],
        shape=dataset.shape,
    )
    notes = [*dataset.notes, *far_out_notes(dataset)]
    if checked is not None:
        notes += chance_notes(checked["accuracy"], checked["largest_class"], checked["rows"])
    config = {
        "data": dataset.name,
        **plan.describe(),
        "diverged": scored.diverged,
        "steps": scored.steps,
        "check": checked,
        **dataset.describe_features(),
        "software": software(),
        "random_generator": settings_of_jax()["random_generator"],
    }
    seconds = time.perf_counter() - start
    return NetworkScores(
        scored.values, dataset.ids, dataset.hash, plain(config), seconds, tuple(notes)
    )


class _Scored(NamedTuple):
    """Scores averaged over networks and epochs, networks that diverged, steps at the epochs."""

    values: np.ndarray
    diverged: int
    steps: list[int]


def _train_and_score(
    plan: ScoringPlan, network: Any, x: Array, dataset: Dataset, progress: Progress | None
) -> _Scored:
    name, rows = plan.member.name, np.tile(np.arange(len(dataset)), (plan.n_networks, 1))
    recorder, _ = train_and_score(
        jax.random.split(jax.random.key(plan.seed), plan.n_networks),
        make_samples(x, rows, dataset.y[rows]),
        model=network,
        training=plan.training,
        look=plan.look,
        epochs={name: plan.when},
        on_epoch=None if progress is None else lambda done, _: progress(done, plan.when[-1]),
        shape=dataset.shape,
    )
    keys = np.stack([recorder.of(name, epoch) for epoch in plan.when])
    finite = np.isfinite(keys).all(axis=(0, 2))
    if not finite.any():
        raise InvalidArgumentError(
            "learning_rate must be small enough for training to converge: all "
            f"{plan.n_networks} networks diverged at {plan.training.learning_rate:g}."
        )
    with jax.enable_x64(True):
        values = np.asarray(plan.member.publish(jnp.asarray(keys[:, finite]))).mean(axis=(0, 1))
    return _Scored(values, int((~finite).sum()), [recorder.steps[epoch] for epoch in plan.when])
