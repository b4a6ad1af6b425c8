"""Options of the command line: their choices are the library's, and each is defined once."""

from __future__ import annotations

import inspect
from importlib import import_module

import click
import pytest

from nfl_pruning import LINKS, LOSSES, SCORES, SELECTIONS, InvalidArgumentError, Score
from nfl_pruning.cli.main import COMMANDS
from nfl_pruning.cli.options import data, shared
from nfl_pruning.cli.options.network import Network
from nfl_pruning.cli.options.types import ListOf, OneOf, Real, Whole
from nfl_pruning.links import FORMS
from shell import shell


def options(command):
    parameters = import_module(COMMANDS[command]).command.params
    return {p.opts[0]: p for p in parameters if isinstance(p, click.Option)}


def said(param, kind, text):
    return kind.convert(text, click.Option([param]), None)


def test_choices_are_those_of_the_registry_when_it_is_read():
    kind = OneOf(shared.SCORES)
    with pytest.raises(InvalidArgumentError, match=r"score must be one of aum, .*; got 'mine'"):
        said("--score", kind, "mine")
    SCORES.add("mine", Score("mine", lambda z, y, c: z[..., 0], label_aware=False))
    try:
        assert said("--score", kind, "mine") == "mine"
    finally:
        SCORES._members.pop("mine")


@pytest.mark.parametrize("name", shared._DEFINED)
def test_an_option_of_several_commands_has_one_type(name):
    """But for the commands whose form of it differs: a sweep's list, a module's function."""
    kinds = {
        type(part).__name__ + getattr(part, "place", "")
        for command in COMMANDS
        if name in (known := options(command))
        for part in [getattr(known[name].type, "each", known[name].type)]
        if not isinstance(part, click.types.StringParamType)
    }
    assert len(kinds) <= 1


@pytest.mark.parametrize("name", ["prune", "advise", "compare", "train", "score"])
def test_a_command_has_a_typed_parameter_for_every_option(name):
    """Its own, those of its TypedDict, and one for each group of options that is gathered."""
    module = import_module(COMMANDS[name])
    own = inspect.signature(inspect.unwrap(module.command.callback)).parameters
    typed = {*own, *module.Options.__annotations__} - {"options"}
    said = {param.name for param in module.command.params}
    expected = (said - {*data.NAMES, *Network._fields}) | {"columns"}
    assert typed == expected | ({"network"} if "epochs" in said else set())
    assert all(one.annotation is not inspect.Parameter.empty for one in own.values())


def test_numbers_become_numbers_and_what_is_none_is_named():
    assert said("--x", Real(), "0.25") == 0.25
    assert said("--x", Real(), "much") == "much"  # for the library's range check to name
    assert said("--x", Whole(1), "3") == 3
    with pytest.raises(InvalidArgumentError, match="x must be a whole number of at least 1"):
        said("--x", Whole(1), "0")
    assert said("--x", ListOf(Whole()), "3, 5") == [3, 5]
    with pytest.raises(InvalidArgumentError, match="distinct"):
        said("--x", ListOf(Whole()), "3,3")


def test_help_names_what_is_registered():
    """Help is written by hand, since it starts without JAX; it must not fall behind."""
    texts = {name: option.help or "" for name, option in options("solve").items()}
    for option, names in (("--loss", LOSSES), ("--link", [*LINKS, *FORMS])):
        assert [name for name in names if name.split(":")[0] not in texts[option]] == []
    said_of = {texts["--protocol"], options("prune")["--protocol"].help}
    missing = [name for name in SELECTIONS if not any(name in (text or "") for text in said_of)]
    assert missing == []
    assert "hinge-2" not in texts["--loss"]  # the control


def test_a_refused_option_is_quoted_as_it_was_written(capsys):
    ran = shell(capsys, "score", "digits", "--logits", "no.npy", "--epoch", "3,5")
    assert ran.code == 2 and "got --epoch 3,5." in ran.err
