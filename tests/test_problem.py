"""A problem refuses what it cannot mean, in a sentence, and describes itself."""

# Texts stand for objects and numbers may be None here; a test fails where that is wrong.

import pickle

import pytest

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.links import parse_link
from nfl_pruning.losses import LOSSES
from nfl_pruning.probes import FixedProbe, parse_probe
from nfl_pruning.problem import Problem, Student, Teacher
from nfl_pruning.selections import make_selection

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"samples_per_feature": 0}, r"samples_per_feature must be a number in \(0, inf\); got 0"),
        ({"samples_per_feature": INF}, "got inf"),
        ({"samples_per_feature": "five"}, "got 'five'"),
        ({"keep_fraction": 0}, r"keep_fraction must be a number in \(0, 1\]; got 0"),
        ({"keep_fraction": NAN}, "got nan"),
        ({"keep_fraction": True}, "got True"),
        ({"signal": -1}, r"signal must be a number in \[0, inf\); got -1"),
        ({"ridge": -0.1}, r"ridge must be a number in \[0, inf\); got -0.1"),
        ({"keep": "harder"}, "nearest: hardest"),
        ({"score": "el3n"}, "score must be one of .* got 'el3n' .nearest: el2n"),
        ({"loss": "logistik"}, "nearest: logistic"),
        ({"selection": "exat"}, "nearest: exact"),
        ({"probe": "fixed:1.5"}, r"probe alignment must be a number in \[-1, 1\]; got 1.5"),
        ({"probe": "fixed:1:-2"}, r"probe norm must be a number in \[0, inf\); got -2.0"),
        ({"probe": "fixed"}, "probe must have the form fixed:COSINE"),
        ({"probe": "fixed:x"}, "probe must have the form fixed:COSINE"),
    ],
)
def test_out_of_range_is_one_sentence(changes, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence) as refusal:
        Problem().replace(**changes)
    assert str(refusal.value).count("\n") == 0


def test_defaults_and_probe_norm():
    problem = Problem()
    assert problem.describe() == {
        **problem.describe(),
        "link": "logistic",
        "signal": 1.0,
        "samples_per_feature": 5.0,
        "ridge": 0.01,
        "loss": "logistic",
        "score": "el2n",
        "keep": "hardest",
        "keep_fraction": 1.0,
        "protocol": "threshold",
    }
    assert problem.replace(signal=3).probe_norm == 3.0
    assert problem.replace(signal=3, link="sign").probe_norm == 1.0
    assert problem.replace(signal=3, probe=FixedProbe(0.5, 2)).probe_norm == 2.0


def test_a_description_rebuilds_the_problem():
    problem = Problem(
        samples_per_feature=7,
        keep_fraction=0.35,
        score="margin",
        keep="easiest",
        selection=make_selection("soft:0.25", exploit=0.3),
        teacher=Teacher(link=parse_link("steps:-1,1:0.1,0.5,0.7"), signal=2.5),
        probe=parse_probe("fixed:-0.3:1.5"),
        student=Student(ridge=0.2),
    )
    plain = problem.describe()
    again = Problem(
        plain["samples_per_feature"],
        keep_fraction=plain["keep_fraction"],
        score=plain["score"],
        keep=plain["keep"],
        selection=make_selection(plain["protocol"], exploit=plain["exploit"]),
        probe=plain["probe"],
    ).replace(**{k: plain[k] for k in ("link", "signal", "ridge", "loss")})
    assert again == problem and hash(again) == hash(problem)


def test_replace_reaches_inside_and_changes_nothing_else():
    problem = Problem()
    changed = problem.replace(signal=2, ridge=1, keep="easiest")
    assert (changed.teacher.signal, changed.student.ridge, changed.keep) == (2.0, 1.0, "easiest")
    assert problem == Problem()


@pytest.mark.parametrize("name", LOSSES)
def test_a_problem_goes_to_another_process(name):
    problem = Problem(selection=make_selection("exact", exploit=0.3)).replace(
        loss=name, link="flip:0.1", score="grand", probe="in-sample:0.1"
    )
    copy = pickle.loads(pickle.dumps(problem))
    assert copy == problem and copy.score is problem.score
