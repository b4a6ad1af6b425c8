"""What the README says is what happens."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

from generated import README, ROOT, examples, outputs
from shell import shell

TEXT = README.read_text(encoding="utf-8")
COMMANDS = [line for line in TEXT.splitlines() if line.startswith("nfl-pruning ")]


def test_the_examples_print_what_is_shown():
    shown = [output for _, output in examples(TEXT)]
    assert len(shown) >= 2
    assert outputs(TEXT) == shown, "run: python docs/generate/generated.py"


def test_the_first_example_is_short():
    lines = [line for line in examples(TEXT)[0][0].splitlines() if line.strip()]
    assert len(lines) <= 21


def test_there_is_one_command_to_run_and_one_to_test():
    """.ci/run executes exactly the lines that this finds."""
    assert [line for line in TEXT.splitlines() if line.startswith("pip install ")] == [
        "pip install . && nfl-pruning reproduce",
        "pip install '.[test]' && pytest",
    ]
    script = (ROOT / ".ci" / "run").read_text()
    assert "grep -E '^pip install ' README.md" in script
    assert subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=False).returncode == 0


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_exist(capsys, line):
    """Every option in the README's commands is one that the command's help lists."""
    command, *rest = shlex.split(line)[1:]
    text = shell(capsys, command, "--help").out
    for word in rest:
        if word.startswith("--"):
            assert word in text


@pytest.mark.slow
def test_the_advice_shown_is_the_advice_given(capsys):
    line = next(line for line in TEXT.splitlines() if "`nfl-pruning advise digits" in line)
    command = line.split("`")[-2]
    shown = TEXT[TEXT.index(line) :].split("```text\n")[1].split("```")[0]
    told = shell(capsys, *shlex.split(command)[1:]).out
    assert len(shown.splitlines()) > 3 and told.startswith(shown)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_papers_are_in_place():
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert "2302.06960" in (ROOT / "CITATION.cff").read_text()
