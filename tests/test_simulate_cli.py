"""``nfl-pruning simulate``: laws of inputs, single trials, and what is refused."""

import json

import pytest
from click.testing import CliRunner

from nfl_pruning.cli.main import main

SMALL = ["simulate", "--n-features", "20", "--keep-fraction", "0.5"]


def run(*arguments):
    return CliRunner().invoke(main, [*SMALL, *arguments])


def test_another_law_leaves_cosine_and_norm():
    found = json.loads(run("--n-trials", "3", "--law", "heavy-tails:4", "--json").output)
    assert found["law"] == "heavy-tails:4"
    assert found["cosine"]["standard_error"] > 0
    assert "test_error" not in found
    table = run("--n-trials", "3", "--law", "heavy-tails:4").output
    assert "heavy-tails:4 (theory: gaussian)" in table
    assert "test error" not in table
    sweep = run("--n-trials", "3", "--law", "heavy-tails:4", "--signal", "1,2").output
    assert "norm" in sweep
    assert "error" not in sweep


def test_a_single_trial_has_a_value_and_no_error():
    done = run("--n-trials", "1")
    assert done.exit_code == 0
    assert "nan" not in done.output
    found = json.loads(run("--n-trials", "1", "--json").output)
    assert found["cosine"]["standard_error"] is None
    assert found["cosine"]["z"] is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--law", "cauchy"], "law of the inputs must be one of gaussian, mixture, heavy-tails"),
        (["--law", "heavy-tails:1"], "degrees of freedom"),
        (["--law", "mixture", "--score", "grand"], "does not supply"),
        (["--seed", str(2**63)], "seed must be a whole number of at least 0 and below 2^63"),
        (["--until-se", ""], "until-se must be a number in (0, inf); got ''"),
        (["--records", __file__], "records must be a folder"),
        (["--records", f"{__file__}/below"], "records must be a folder"),
        (["--records", ""], "records must be a folder; got ''"),
        (["--memory", "1KB"], "memory must be at least"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments, sentence):
    done = run("--n-trials", "2", *arguments)
    assert done.exit_code == 2
    assert sentence in done.output
    assert len(done.output.strip().splitlines()) == 1
