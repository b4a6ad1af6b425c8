"""What is given to scores, selections and problems fits, or one sentence says what does not."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nfl_pruning import (
    SCORES,
    Context,
    InvalidArgumentError,
    Problem,
    Score,
    Status,
    existence_threshold,
    limit_function,
    limit_values,
    optimal_rule,
    select,
    simulate,
    solve,
)
from nfl_pruning.adversary.find import find_adversary
from nfl_pruning.data import load_dataset, make_dataset
from nfl_pruning.links import parse_link
from nfl_pruning.numerics.status import Status as Home
from nfl_pruning.problem import Student, Teacher
from nfl_pruning.pruning.run import prune
from nfl_pruning.records import to_json
from nfl_pruning.scores.evaluate import evaluate
from nfl_pruning.selections import Piecewise
from nfl_pruning.selections.balanced import select_by_class

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(5, 3))
LABELS = np.array([0, 1, 2, 1, 0])
PATH = RNG.normal(size=(5, 7, 3))
WHOLE = Context(
    input_norm=np.ones(5),
    features=LOGITS,
    gradient_norm=np.ones(5),
    trajectory=PATH,
    gap_gradient=np.ones((5, 3)),
    prototypes=LOGITS[:2],
    inputs=LOGITS,
)
BAD_LABELS = [
    (LABELS + 1, "got 3 for sample 2"),
    (np.where(LABELS == 1, 1, -1), "got -1 for sample 0"),
    (1, "shape ()"),
    ([1], "shape (1,)"),
    (LABELS[:, None], "shape (5, 1)"),
    (np.array(list("abcab")), "such as a"),
    (LABELS.astype(float), "type float64"),
    ([None] * 5, "None"),
    ([[1], [1, 2]], "class codes"),
]


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(("labels", "words"), BAD_LABELS, ids=range(len(BAD_LABELS)))
def test_labels_that_do_not_fit_the_logits(name, labels, words):
    for call in (SCORES[name], SCORES[name].rank_key):
        with pytest.raises(InvalidArgumentError) as refused:
            call(LOGITS, labels, WHOLE)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)
    entries = {entry: getattr(WHOLE, entry) for entry in SCORES[name].needs}
    with pytest.raises(InvalidArgumentError):
        evaluate(SCORES[name], LOGITS, labels, entries)


@pytest.mark.parametrize(
    ("logits", "words"),
    [
        (LOGITS[:, :1], "at least 2 classes"),
        (3.0, "got ()"),
        (np.where(LOGITS[2, 1] == LOGITS, np.nan, LOGITS), "sample 2"),
        (np.where(LOGITS[4, 0] == LOGITS, np.inf, LOGITS), "sample 4"),
        (LOGITS.astype(complex), "real numbers"),
        (LOGITS.astype(str), "real numbers"),
        ([[1, 2], [3]], "array of numbers"),
    ],
)
def test_logits_that_are_none(logits, words):
    with pytest.raises(InvalidArgumentError, match=words.replace("(", r"\(").replace(")", r"\)")):
        SCORES["el2n"](logits, LABELS)


HOLE = PATH.copy()
HOLE[1, 4, 0] = np.nan


@pytest.mark.parametrize(
    ("score", "entries", "words"),
    [
        ("forgetting", {"trajectory": PATH.swapaxes(0, 1)}, "(5, time, 3); got (7, 5, 3)"),
        ("aum", {"trajectory": PATH[:, :, :2]}, "got (5, 7, 2)"),
        ("aum", {"trajectory": PATH[:, 0]}, "got (5, 3)"),
        ("forgetting", {"trajectory": PATH[:, :0]}, "got (5, 0, 3)"),
        ("aum", {"trajectory": HOLE}, "sample 1 at time 4"),
        ("grand", {"input_norm": np.ones(4)}, "(5,), one number a sample; got (4,)"),
        ("grand", {"input_norm": np.full(5, np.nan)}, "finite"),
        ("deepfool", {"gap_gradient": np.ones(5)}, "(5, 3), as the logits"),
        ("prototypicality", {"features": LOGITS.T, "prototypes": LOGITS}, "one row a sample"),
        ("prototypicality", {"features": LOGITS, "prototypes": PATH[0, :, :2]}, "(centres, 3)"),
    ],
)
def test_contexts_that_do_not_fit(score, entries, words):
    with pytest.raises(InvalidArgumentError) as refused:
        SCORES[score](LOGITS, LABELS, Context(**entries))
    assert words in str(refused.value)


def test_under_tracing_shapes_count_and_values_pass():
    el2n = SCORES["el2n"]
    wanted = el2n(LOGITS, LABELS)
    np.testing.assert_allclose(jax.jit(el2n)(LOGITS, LABELS), wanted, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(el2n)(LOGITS, jnp.asarray(LABELS)), wanted, rtol=1e-5)
    assert jax.jit(el2n)(LOGITS, LABELS + 9).shape == (5,)
    with pytest.raises(InvalidArgumentError, match="shape"):
        jax.jit(el2n)(LOGITS, LABELS[:4])
    with pytest.raises(InvalidArgumentError, match="traces"):
        jax.jit(lambda x: select(jax.random.key(0), x, 0.5).weights)(LABELS)


@pytest.mark.parametrize("key", [0, None, "a", np.random.default_rng(0), np.arange(2)])
def test_what_is_no_key(key):
    for call in (
        lambda: select(key, LABELS, 0.5),
        lambda: select_by_class(key, LABELS, LABELS, keep_fraction=0.5),
    ):
        with pytest.raises(InvalidArgumentError, match=r"jax.random.key\(0\)"):
            call()


def test_keys_of_both_kinds_work():
    for key in (jax.random.key(0), jax.random.PRNGKey(0)):
        assert len(select(key, LABELS, 0.6).indices) == 3


@pytest.mark.parametrize("scores", [["a", "b"], [1j, 2], [None, 1.0]])
def test_scores_that_are_no_numbers(scores):
    with pytest.raises(InvalidArgumentError, match="real numbers"):
        select(jax.random.key(0), scores, 0.5)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((6, 1, 28, 28)), LABELS, "moveaxis"),
        (np.zeros((6, 3, 32, 32)), LABELS, "moveaxis"),
        ([[1, 2], [3]], [0, 1], "cannot be one"),
        (np.zeros((0, 4)), np.zeros(0, int), "at least 2 samples"),
        (np.ones((2, 2)), [1e300, 0.0], "2^53"),
        (np.ones((2, 2)), np.array([None, 1], object), "None"),
        (np.ma.array(np.ones((2, 2)), mask=np.eye(2, k=1) > 0), [0, 1], "1 of 4 entries are"),
        (np.ones((2, 2)), np.ma.array([0, 1], mask=[True, True]), "y in mine must not be masked"),
    ],
)
def test_data_that_are_none(x, y, words):
    labels = y if len(y) == len(x) else np.arange(len(x)) % 2
    with pytest.raises(InvalidArgumentError) as refused:
        make_dataset("mine", x, labels)
    assert words in str(refused.value)


def test_layouts_and_labels_that_are_fine():
    for shape in ((28, 28), (28, 28, 3), (32, 32, 1), (3, 4, 5), (4, 28)):
        assert make_dataset("a", np.zeros((4, *shape)), [0, 1, 0, 1]).shape == shape
    assert make_dataset("a", np.ones((2, 2)), np.array(["x", "y"], object)).classes == ("x", "y")
    with pytest.raises(InvalidArgumentError, match="make_dataset"):
        prune(cast(Any, LOGITS), seed=0)


def test_masks_are_not_looked_through():
    """What lies under a mask is no value; a mask that hides nothing is none."""
    hidden = np.ma.array(LABELS, mask=LABELS == 1)
    for call in (
        lambda: select(jax.random.key(0), hidden, 0.5),
        lambda: SCORES["el2n"](LOGITS, hidden),
        lambda: SCORES["el2n"](np.ma.array(LOGITS, mask=LOGITS > 0), LABELS),
        lambda: prune(make_dataset("a", LOGITS, LABELS > 0), seed=0, scores=hidden),
    ):
        with pytest.raises(InvalidArgumentError, match="must not be masked"):
            call()
    bare = np.ma.array(LABELS, mask=np.zeros(5, bool))
    assert SCORES["el2n"](LOGITS, bare).shape == (5,)


@pytest.mark.parametrize(
    ("classes", "words"),
    [(["a"], "the label 1"), (["a", "a"], "got a, a"), (["b", "c", "b"], "distinct names")],
)
def test_names_of_classes_that_do_not_fit(classes, words):
    with pytest.raises(InvalidArgumentError, match=words):
        make_dataset("a", np.ones((4, 2)), [0, 1, 0, 1], classes=classes)
    assert make_dataset("a", np.ones((4, 2)), [2, 1, 2, 1], classes="xyz").classes == ("y", "z")


ODD_RESULTS: list[tuple[Any, str]] = [
    (lambda z: jnp.zeros(2), r"shape \(5,\); got shape \(2,\)"),
    (lambda z: z, r"got shape \(5, 3\)"),
    (lambda z: None, "real numbers"),
    (lambda z: "a", "real numbers"),
    (lambda z: z[..., 0] * 1j, "complex"),
]


@pytest.mark.parametrize(("function", "words"), ODD_RESULTS, ids=range(len(ODD_RESULTS)))
def test_what_a_score_of_one_s_own_returns(function, words):
    own = Score(f"own {words}", lambda z, y, c: function(z), label_aware=False)
    for call in (own, jax.jit(own)):
        with pytest.raises(InvalidArgumentError, match=words):
            call(LOGITS, LABELS)


PLAIN: Any = 3
CALLS_WITH_OTHER_THINGS: list[tuple[Any, str]] = [
    (lambda: solve(PLAIN), "problem must be a Problem; got 3"),
    (lambda: simulate(PLAIN, n_features=9, n_trials=1), "problem must be"),
    (lambda: existence_threshold(PLAIN), "problem must be"),
    (lambda: optimal_rule(PLAIN), "problem must be"),
    (lambda: limit_function(PLAIN), "problem must be"),
    (lambda: limit_values(PLAIN, {}), "problem must be"),
    (lambda: limit_values(Problem(), PLAIN), "numbers must be a Mapping"),
    (lambda: limit_values(Problem(), {"ridge": "a"}), "ridge must be a number"),
    (lambda: limit_values(Problem(), {"ridge": np.ones(2)}), "ridge must be a number"),
    (lambda: simulate(Problem(), n_features=9, n_trials=1, records=PLAIN), "records must be"),
    (lambda: find_adversary(PLAIN, 0.3), "score must be a Score"),
    (lambda: load_dataset(PLAIN), "a table or an array; got int"),
    (lambda: load_dataset("a" * 5000), "must be one of"),
    (lambda: load_dataset("a" * 5000 + ".csv"), "there is no file"),
    (lambda: prune(make_dataset("a", LOGITS, LABELS), seed=0, probe=PLAIN), "a DataProbe"),
]


@pytest.mark.parametrize(
    ("call", "words"), CALLS_WITH_OTHER_THINGS, ids=range(len(CALLS_WITH_OTHER_THINGS))
)
def test_things_of_another_kind(call, words):
    with pytest.raises(InvalidArgumentError, match=words):
        call()


def test_a_configuration_that_no_file_could_hold_is_refused_before_the_work():
    data = make_dataset("a", LOGITS, LABELS > 0)
    for value in (np.nan, object()):
        with pytest.raises(InvalidArgumentError, match="scores_config must hold plain values"):
            prune(data, seed=0, scores=np.arange(5.0), scores_config={"a": value})


PROBLEMS = [
    Problem(),
    Problem(signal=2),
    Problem(protocol="soft:0.3", exploit=0.2, link="flip:0.1:probit", loss="hinge", ridge=3),
    Problem(7, 0.4, "margin", "easiest", "window:0.1", probe="pilot:3:0.02", signal=0.1 + 0.2),
    Problem(score="random", probe="in-sample:0.1"),
    Problem(keep_fraction=0.5, selection=Piecewise((0.5, 0.5), (1.0, 0.0), (1.0, 2.5))),
    Problem(teacher=Teacher(parse_link("steps:-1,1:0.1,0.5,0.7"), 1.5), student=Student(ridge=0)),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=range(len(PROBLEMS)))
def test_a_problem_is_what_it_says(problem):
    again = Problem(**problem.describe())
    assert again == problem and hash(again) == hash(problem)
    assert eval(repr(problem), {"Problem": Problem}) == problem
    assert problem.replace(keep_fraction=0.5).replace(signal=3).teacher.signal == 3


def test_the_parts_of_a_problem_by_their_own_names():
    problem = Problem(signal=2, ridge=0.5, loss="squared", link="probit", exploit=0.1)
    assert (problem.teacher.signal, problem.student.ridge) == (2.0, 0.5)
    assert problem.replace(protocol="exact", exploit=0.1).describe()["exploit"] == 0.1
    assert Problem(teacher=Teacher(signal=3), link="probit").teacher.signal == 3
    wrongs: list[tuple[dict[str, Any], str]] = [
        ({"protocol": "exact", "selection": "exact"}, "two names"),
        ({"sginal": 2}, "nearest: signal"),
        ({"exploit": 2}, r"\[0, 1\]"),
        ({"selection": 3}, "text or a selection"),
    ]
    for wrong, words in wrongs:
        with pytest.raises(InvalidArgumentError, match=words):
            Problem(**wrong)


def test_a_status_is_its_name():
    assert Status is Home
    for status in Status:
        assert status == status.value and str(status) == status.value
        assert to_json({"status": status}) == f'{{"status": "{status.value}"}}'
    solution = solve(Problem(keep_fraction=0.5, probe="fixed:0.8", ridge=0.1))
    assert solution.status == "certified"
    assert len(repr(solution)) < 400 and "status='certified', cosine=" in repr(solution)


@pytest.mark.parametrize("name", ["signal", "ridge", "keep_fraction", "samples_per_feature"])
def test_differentiating_solve_names_the_function_for_it(name):
    def function(value):
        return solve(Problem().replace(**{name: value})).cosine

    for transform in (jax.grad, jax.jit):
        with pytest.raises(InvalidArgumentError, match="limit_function"):
            transform(function)(0.5)
