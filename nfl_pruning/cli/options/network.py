"""Options of the commands that train networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from nfl_pruning.cli.options.shared import gathered, shared
from nfl_pruning.cli.options.types import OneOf, Real, Whole
from nfl_pruning.errors import InvalidArgumentError

if TYPE_CHECKING:
    from nfl_pruning.networks.training import Training
    from nfl_pruning.scores import Score

_OPTIONS: tuple[tuple[str, str, click.ParamType, str], ...] = (
    ("--model", "mlp", OneOf("networks.models:MODELS"), "logistic, mlp, cnn or resnet."),
    ("--epochs", "20", Whole(1), "Passes over the data in a whole training."),
    ("--batch-size", "64", Whole(1), "Samples in a step."),
    (
        "--optimiser",
        "sgd",
        OneOf("networks.training:OPTIMISERS"),
        "sgd (Nesterov momentum 0.9) or adamw; cosine to zero.",
    ),
    ("--learning-rate", "0.05", Real(), "Its peak, > 0."),
    ("--weight-decay", "0.0005", Real(), ">= 0."),
    (
        "--augmentation",
        "none",
        OneOf("networks.augmentation:AUGMENTATIONS"),
        "none, or flip-crop of training images, as for CIFAR.",
    ),
)


class Network(NamedTuple):
    """Which network is trained, and how."""

    model: str
    epochs: int
    batch_size: int
    optimiser: str
    learning_rate: float
    weight_decay: float
    augmentation: str

    def training(self, budget: str = "epochs") -> Training:
        """The training, its numbers checked."""
        from nfl_pruning.networks.training import Training

        settings = self._asdict()
        del settings["model"]
        return Training(**settings, budget=budget)


def network_options(function: Callable) -> Callable:
    """Add the options of a network and its training, and of the data, to a command.

    The command gets ``network``, a :class:`Network`, and ``seed`` and ``data_dir``.
    """
    function = gathered(Network, "network", Network._fields)(function)
    for option in (shared("--data-dir"), shared("--seed")):
        function = option(function)
    for name, default, kind, text in reversed(_OPTIONS):
        add = click.option(
            name, default=default, show_default=True, metavar="X", type=kind, help=text
        )
        function = add(function)
    return function


def check_gradient(gradient: str, scores: Sequence[Score]) -> str:
    """The gradient that grand means; one may be chosen where grand is among the scores."""
    from nfl_pruning.networks.gradients import SCOPES

    if gradient != SCOPES[0] and all(score.name != "grand" for score in scores):
        raise InvalidArgumentError(f"--gradient needs --score grand; got --gradient {gradient}.")
    return gradient
