"""Options of the commands that train networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from nfl_pruning.cli.options.problem import real, seed_option, whole
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_choice

if TYPE_CHECKING:
    from nfl_pruning.networks.training import Training

_OPTIONS = (
    ("--model", "mlp", "logistic, mlp, cnn or resnet."),
    ("--epochs", "20", "Passes over the data in a whole training."),
    ("--batch-size", "64", "Samples in a step."),
    ("--optimiser", "sgd", "sgd (Nesterov momentum 0.9) or adamw; cosine to zero."),
    ("--learning-rate", "0.05", "Its peak, > 0."),
    ("--weight-decay", "0.0005", ">= 0."),
    ("--augmentation", "none", "none, or flip-crop of training images, as for CIFAR."),
)

data_options = (
    seed_option,
    click.option("--data-dir", metavar="DIR", help="Folder of a named data set's files."),
)


def network_options(function: Callable) -> Callable:
    """Add the options of a network and its training, and of the data, to a command."""
    for option in reversed(data_options):
        function = option(function)
    for name, default, text in reversed(_OPTIONS):
        add = click.option(name, default=default, show_default=True, metavar="X", help=text)
        function = add(function)
    return function


def check_gradient(gradient: str, scores: list[Any]) -> str:
    """The gradient that grand means; one may be chosen where grand is among the scores."""
    from nfl_pruning.networks.gradients import SCOPES

    check_choice("gradient", gradient, SCOPES)
    if gradient != SCOPES[0] and all(score.name != "grand" for score in scores):
        raise InvalidArgumentError(f"--gradient needs --score grand; got --gradient {gradient}.")
    return gradient


def training_from(options: dict[str, Any], budget: str = "epochs") -> Training:
    """Take the training's options out of ``options``."""
    from nfl_pruning.networks.training import Training

    return Training(
        epochs=whole("epochs", options.pop("epochs"), 1),
        batch_size=whole("batch_size", options.pop("batch_size"), 1),
        optimiser=options.pop("optimiser"),
        learning_rate=real(options.pop("learning_rate")),
        weight_decay=real(options.pop("weight_decay")),
        augmentation=options.pop("augmentation"),
        budget=budget,
    )
