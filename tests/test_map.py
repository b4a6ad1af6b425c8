"""The map, the glossary and the pairs of scripts agree with the code."""

from __future__ import annotations

import ast

import pytest

from generated import (
    GLOSSARY,
    MAP,
    README,
    ROOT,
    STATEMENTS_PAGE,
    glossary_page,
    statements_page,
    with_map,
)
from nfl_pruning import SCORES, SELECTIONS
from nfl_pruning.experiments.scripts import PRESETS, experiments
from nfl_pruning.glossary import NOTATION as SYMBOLS

EXPERIMENTS = experiments(ROOT)
HINT = "run: python docs/generate/generated.py"


def test_the_map_is_fresh():
    readme = README.read_text(encoding="utf-8")
    assert with_map(readme) == readme, HINT
    found = MAP.search(readme)
    assert found is not None
    for name in (*SCORES, *SELECTIONS):
        assert f"[{name}](" in found[0]


def test_a_stale_map_would_be_noticed():
    readme = README.read_text(encoding="utf-8")
    stale = readme.replace("[el2n](", "[eltwon](", 1)
    assert stale != readme
    assert with_map(stale) == with_map(readme) != stale


def test_the_glossary_page_is_fresh():
    assert GLOSSARY.read_text(encoding="utf-8") == glossary_page(), HINT


def test_the_page_of_statements_is_fresh():
    assert STATEMENTS_PAGE.read_text(encoding="utf-8") == statements_page(), HINT


@pytest.mark.parametrize("row", SYMBOLS, ids=lambda row: row.name)
def test_names_in_the_notation_exist(row):
    assert row.name in (ROOT / "nfl_pruning" / row.where).read_text(encoding="utf-8")


@pytest.mark.parametrize("found", EXPERIMENTS, ids=lambda found: found.name)
def test_scripts_come_in_pairs(found):
    """A simulation computes and never draws; its figure draws and never computes."""
    for path, function in ((found.simulation, "run"), (found.figure, "draw")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        names = {
            ast.unparse(node.targets[0]): ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        }
        assert function in functions
        assert names["NAME"] == found.name
        imported = {
            name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
            )
        }
        if function == "run":
            assert not any(name.startswith("matplotlib") for name in imported)
        else:
            package = {name for name in imported if name.startswith("nfl_pruning")}
            reading = {
                "nfl_pruning.records",
                "nfl_pruning.networks.comparison.repeat",
                "nfl_pruning.networks.comparison.verdicts",
                "nfl_pruning.validation",
            }  # of repeats' records, and what is written beside them
            assert package <= reading | {"nfl_pruning.experiments.scripts"}
    assert found.summary.endswith(".")


def test_every_figure_has_its_simulation():
    others = {"style", "statements"}  # the latter draws from the records of verify
    drawn = {path.stem for path in (ROOT / "figures").glob("*.py")} - others
    assert drawn == {found.name for found in EXPERIMENTS}
    assert set(PRESETS) == {"quick", "paper"}
