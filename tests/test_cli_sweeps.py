"""Comma lists on the command line: names, forms and the numbers inside them."""

from __future__ import annotations

from itertools import product

import pytest

from nfl_pruning import Problem, solve
from nfl_pruning.cli.options.problem import forms
from shell import shell


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("el2n", ["el2n"]),
        ("el2n, max-margin", ["el2n", "max-margin"]),
        ("fixed:0.2,-0.5,.8", ["fixed:0.2", "fixed:-0.5", "fixed:.8"]),
        ("fixed:0.2,pilot:3:0.1", ["fixed:0.2", "pilot:3:0.1"]),
        ("pilot:1,3:0.1,1", ["pilot:1:0.1", "pilot:1:1", "pilot:3:0.1", "pilot:3:1"]),
        ("threshold,soft:0,1,exact", ["threshold", "soft:0", "soft:1", "exact"]),
    ],
)
def test_lists_inside_forms_are_written_out(text, entries):
    assert forms(text) == entries


def test_names_and_forms_sweep_outside_the_numbers(capsys):
    line = "solve --score el2n,margin --probe fixed:0.2,0.8 --keep-fraction 0.3,0.6 --json"
    found = shell(capsys, *line.split()).json
    points = [
        (row["problem"]["score"], row["problem"]["probe"], row["problem"]["keep_fraction"])
        for row in found
    ]
    probes = ("fixed:0.2", "fixed:0.8")
    assert points == [*product(("el2n", "margin"), probes, (0.3, 0.6))]
    expected = solve(Problem(keep_fraction=0.6).replace(score="margin", probe="fixed:0.2"))
    assert found[5]["cosine"] == expected.cosine


def test_the_table_says_in_columns_what_is_swept_and_above_it_what_is_not(capsys):
    arguments = [
        "--protocol",
        "random,soft:0.5,1",
        "--probe",
        "fixed:0.8",
        "--keep-fraction",
        "0.3",
    ]
    shown = shell(capsys, "solve", *arguments).out
    head, table = shown.split("cosine")
    assert "score el2n, keep hardest" in head and "exploit 0.5" in head
    assert "protocol" not in head.splitlines()[1]
    assert all(name in table for name in ("random", "soft:0.5", "soft:1"))
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.slow
def test_simulations_sweep_names_too(capsys):
    arguments = ["--n-features", "30", "--n-trials", "4", "--score", "el2n,random"]
    ran = shell(capsys, "simulate", *arguments, "--probe", "fixed:0.2,0.8")
    assert ran.code == 0 and ran.out.count("±") == 4
    assert max(map(len, ran.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["--exploit", "0.2,0.6"], "'0.2,0.6'"),
        (["--probe", "fixed:0.2,1.5"], "1.5"),
        (["--probe", "fixed:0.2,"], "'fixed:'"),
        (["--score", "el2n,eln2"], "'eln2'"),
        (["--protocol", "soft,0.5"], "'soft'"),
        (["--loss", "logistic,"], "''"),
    ],
)
def test_bad_lists_are_one_sentence(capsys, arguments, value):
    ran = shell(capsys, "solve", *arguments)
    assert ran.code == 2 and not ran.out
    assert ran.err.count("\n") == 1 and f"got {value}" in ran.err
