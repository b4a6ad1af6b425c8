"""Every page of the documentation that has code runs, and prints what it says it prints."""

import importlib.util
import re

import click
import pytest

from generated import (
    ROOT,
    command_pages,
    commands,
    console_output,
    consoles,
    examples,
    outputs,
    pages,
)
from nfl_pruning.cli.main import COMMANDS, main

PAGES = pages()


def test_the_pages_are_there():
    assert len(PAGES) >= 8
    assert {path.parent.name for path in PAGES} == {"start", "tutorials", "how-to"}


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_code_prints_what_the_page_says(path):
    text = path.read_text("utf-8")
    if "import pandas" in text and importlib.util.find_spec("pandas") is None:
        pytest.skip("pandas is not installed here.")
    shown = [output for _, output in examples(text)]
    assert any(shown), f"{path.name} shows nothing that could be stale"
    assert outputs(text) == shown, "run: python docs/generate/generated.py"


def test_every_command_has_a_page_on_its_use():
    assert {path.stem for path in command_pages()} == set(COMMANDS)
    for path in command_pages():
        text = path.read_text("utf-8")
        assert text.startswith(f"# nfl-pruning {path.stem}\n") and "**When:**" in text
        assert any(words[0] == path.stem for words in commands(text)), path


@pytest.mark.parametrize("path", command_pages(), ids=[path.stem for path in command_pages()])
def test_commands_print_what_the_page_says(path):
    for command, shown in consoles(path.read_text("utf-8")):
        assert console_output(command) == shown, "run: python docs/generate/generated.py"


DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("path", DOCS, ids=[path.relative_to(ROOT).as_posix() for path in DOCS])
def test_commands_on_pages_are_ones_that_the_command_line_knows(path):
    for words in commands(path.read_text("utf-8")):
        parsed(words)


def parsed(words):
    """The context of a command, its options checked and nothing run."""
    context = click.Context(main, info_name="nfl-pruning")
    if not words or words[0].startswith("-"):
        return None
    command = main.get_command(context, words[0])
    assert command is not None, words
    return command.make_context(words[0], list(words[1:]), parent=context)


def test_commands_that_do_not_exist_are_noticed():
    for words in (["prune", "digits", "--keep-fracton", "0.1"], ["prunes"]):
        with pytest.raises((click.UsageError, AssertionError)):
            parsed(words)


LINK = re.compile(r"\]\(([^)#\s]+?)(#[^)\s]*)?\)")


def test_links_between_pages_lead_somewhere():
    made = {"gallery.md", "explorer/index.html", "cli/index.md"}  # written when the site is built
    for path in (ROOT / "docs").rglob("*.md"):
        for target, _ in LINK.findall(path.read_text()):
            if "://" in target:
                continue
            place = (path.parent / target).resolve()
            inside = (
                place.relative_to(ROOT / "docs").as_posix()
                if ROOT / "docs" in place.parents
                else ""
            )
            assert (
                place.exists()
                or inside in made
                or inside.startswith("api/")
                or inside == "cli/index.md"
            ), (
                path,
                target,
            )
