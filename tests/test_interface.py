"""The public interface: names, signatures, and an import that touches nothing."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import nfl_pruning
from nfl_pruning import (
    InvalidArgumentError,
    Problem,
    Score,
    make_selection,
    register_score,
    register_selection,
    select,
    simulate,
    solve,
)

NAMES = {
    "Advice", "advise",
    "Comparison", "ComparisonPlan", "Context", "Dataset", "Finding", "FixedProbe", "HeavyTails",
    "LowRank", "Mixture", "WeightsProbe",
    "InvalidArgumentError", "Isotropic", "LINKS", "LOSSES", "NetworkScores", "Problem", "Pruned",
    "SCORES", "SELECTIONS", "Score", "ScoringPlan", "Solution", "Spectrum", "Status", "Student",
    "Teacher", "TrainedNetworks", "Training", "UnsupportedProblemError", "Verification",
    "best_numbers", "compare", "existence_threshold", "find_adversary", "limit_function",
    "limit_values", "load_dataset", "make_dataset", "make_selection", "optimal_rule", "power_law",
    "prune", "register_score", "register_selection", "score", "select", "simulate", "solve",
    "sweep", "train", "verify",
}  # fmt: skip


def test_the_public_names_are_these_and_all_load():
    assert set(nfl_pruning.__all__) == NAMES
    assert set(dir(nfl_pruning)) >= NAMES
    for name in NAMES:
        assert getattr(nfl_pruning, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'solv'"):
        getattr(nfl_pruning, "solv")  # noqa: B009


def test_type_checkers_see_the_same_names():
    """The names below TYPE_CHECKING, which tools read, are those that load at run time."""
    tree = ast.parse(Path(inspect.getfile(nfl_pruning)).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert seen == nfl_pruning._HOME_OF


def test_names_scores_and_selections():
    assert {"el2n", "grand", "loss", "entropy", "least-confidence", "margin", "random"} <= set(
        nfl_pruning.SCORES
    )
    assert {"threshold", "random", "exact", "soft", "power"} <= set(nfl_pruning.SELECTIONS)
    assert {"logistic", "sign", "probit"} <= set(nfl_pruning.LINKS)
    assert {"logistic", "squared"} <= set(nfl_pruning.LOSSES)


@pytest.mark.parametrize(
    ("function", "positional", "keyword"),
    [
        (solve, ["problem"], ["limit", "n_features", "radius", "tolerance"]),
        (
            simulate,
            ["problem"],
            [
                "n_trials",
                "n_features",
                "seed",
                "progress",
                "memory",
                "split",
                "records",
                "until",
                "tolerance",
            ],
        ),
        (select, ["key", "rank_key", "keep_fraction"], ["keep", "selection", "exploit"]),
        (make_selection, ["text"], ["exploit"]),
        (register_selection, ["name"], ["uses"]),
        (register_score, ["name"], ["label_aware", "needs", "publish", "summary", "replace"]),
        (Score.rank_key, ["self", "logits", "labels", "context"], []),
    ],
)
def test_signatures(function, positional, keyword):
    parameters = inspect.signature(function).parameters.values()
    by_place = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    assert by_place == positional
    assert by_name == keyword


def test_problem_is_an_immutable_value():
    problem = Problem(keep_fraction=0.3, probe="fixed:0.8")
    assert [field.name for field in dataclasses.fields(Problem)] == [
        "samples_per_feature", "keep_fraction", "score", "keep", "selection", "teacher", "probe",
        "student", "inputs", "balance",
    ]  # fmt: skip
    assert problem == Problem(keep_fraction=0.3).replace(probe="fixed:0.8")
    assert len({problem, Problem(keep_fraction=0.3).replace(probe="fixed:0.8")}) == 1
    assert problem.replace(signal=2, ridge=0.5).student.ridge == 0.5
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(problem, dataclasses.fields(Problem)[1].name, 0.5)
    with pytest.raises(InvalidArgumentError):
        problem.replace(keep_fraction=1.5)


def test_importing_everything_has_no_side_effects(tmp_path):
    code = """
import json, os, sys
import nfl_pruning
light = not {"jax", "numpy", "scipy"} & set(sys.modules)
import flax.linen, jax, numpy, optax, scipy, sklearn
before = dict(os.environ)  # these set variables of their own
for name in nfl_pruning.__all__:
    getattr(nfl_pruning, name)
from jax._src import xla_bridge
print(json.dumps({
    "light": light, "environment": dict(os.environ) == before, "x64": jax.config.jax_enable_x64,
    "devices started": bool(xla_bridge._backends), "cache": jax.config.jax_compilation_cache_dir,
    "drawing": "matplotlib" in sys.modules,
}))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(nfl_pruning.__file__).parents[1]), "HOME": str(tmp_path)},
    )
    assert ran.stderr == ""
    assert json.loads(ran.stdout) == {
        "light": True,
        "environment": True,
        "x64": False,
        "devices started": False,
        "cache": None,
        "drawing": False,
    }
    assert list(tmp_path.iterdir()) == []


def test_imports_point_one_way():
    """numerics, records <- scores, selections <- problem <- theory, montecarlo <- ... <- cli."""
    root = Path(nfl_pruning.__file__).parent
    rank = {
        "validation": 0, "errors": 0, "registry": 1, "numerics": 1, "kernels": 1, "records": 1,
        "glossary": 1, "links": 2, "losses": 2, "probes": 2, "scores": 2, "selections": 3,
        "inputs": 3, "problem": 4, "theory": 5, "montecarlo": 6, "data": 6, "pruning": 6,
        "networks": 6, "experiments": 6, "adapters": 7, "adversary": 7, "statements": 7,
        "report": 8, "realdata": 9, "cli": 10,
    }  # fmt: skip
    wrong = []
    for path in root.rglob("*.py"):
        part = path.relative_to(root).parts[0].removesuffix(".py")
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nfl_pruning."):
                other = (node.module or "").split(".")[1]
                if other != part and rank.get(other, 0) > rank.get(part, 11):
                    wrong.append(f"{path.relative_to(root)} imports {other}")
    assert wrong == []
