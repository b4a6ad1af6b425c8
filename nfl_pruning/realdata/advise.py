"""Advice on pruning a data set: fit a mixture, predict every policy on it, check on real refits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nfl_pruning.data.dataset import Dataset, make_dataset
from nfl_pruning.realdata.advice import Advice
from nfl_pruning.realdata.advising import Advising
from nfl_pruning.realdata.apply import Source
from nfl_pruning.realdata.asked import KEEP_FRACTIONS, SCORES_ASKED, check_logits, check_question
from nfl_pruning.realdata.fitted.space import MOST, fit_space
from nfl_pruning.realdata.policies import EXPLOITS, Policy
from nfl_pruning.realdata.rounds.probing import RowsProbe, parse_rows_probe
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_integer, check_number

SPACE = 10  # stream of random numbers


@with_own_settings
def advise(
    x: Any,
    y: Any = None,
    *,
    keep_fractions: Sequence[float] = KEEP_FRACTIONS,
    scores: Sequence[str | Policy] = SCORES_ASKED,
    exploits: Sequence[float] = EXPLOITS,
    target: str = "accuracy",
    tolerance: float = 1.0,
    probe: str | RowsProbe = "pilot",
    ridge: float = 0.01,
    logits: Any = None,
    test: tuple[Any, Any] | Dataset | None = None,
    scale: str = "auto",
    directions: int = MOST,
    components: int | None = None,
    checks: str = "few",
    seed: int = 0,
    progress: Callable[[int, int], Any] | None = None,
) -> Advice:
    """Should these data be pruned, by which score, how much, and what will it cost?

    The student is softmax regression on the features, least
    (1/n) sum_i w_i loss_i + (ridge / 2) ||W||^2 with n the rows before pruning. A Gaussian mixture
    is fitted to the features; on rows drawn from it every policy is carried out at the data's own
    size; real refits at a few cells, on held-out rows, say how far the data depart from the
    mixture, and correct the other cells.

    Args:
        x: features, shape (n, ...), or a :class:`Dataset`, which has the labels; its protected
            rows are not looked at.
        y: labels, shape (n,): whole numbers or text.
        keep_fractions: shares to keep, in (0, 1).
        scores: registered names, each with both ends and the calibrated hardest end, or policies.
        exploits: shares of the budget by score of the calibrated policies, in (0, 1).
        target: what must stay good: ``accuracy``, ``worst-class`` or ``loss``.
        tolerance: loss against all data that is accepted, in points (of the loss: in its units).
        probe: ``pilot:SHARE``, ``cross-fit:FOLDS`` or ``in-sample``.
        ridge: of the refits and of the probe, > 0.
        logits: your own model's on these rows, shape (n, K), in place of a probe.
        test: rows that are tested on elsewhere; copies of them among the data are looked for.
        scale: of the features, as in :func:`nfl_pruning.numerics.scaling.fit_scaling`.
        directions: principal directions kept at most.
        components: of each class; chosen on held-out rows if None.
        checks: ``few`` real refits, or ``all`` cells.
        seed: whole number in [0, 2^32).
        progress: called with (rounds done, rounds).

    Raises:
        InvalidArgumentError: an argument is out of range.
    """
    asked = check_question(
        keep_fractions, scores, exploits, target, tolerance, checks, components, seed
    )
    data = x if isinstance(x, Dataset) else make_dataset("data", x, y)
    model = replace(parse_rows_probe(probe), ridge=check_number("ridge", ridge, "(0, inf)"))
    own = None if logits is None else check_logits(logits, data)
    whole = None if data.protected is None else data
    if data.protected is not None:
        own = own if own is None else own[~data.protected]
        data = data.candidates
    if own is not None:
        model = replace(model, kind="given")
    rng = np.random.default_rng([asked.seed, SPACE])
    most = check_integer("directions", directions, 1)
    space = fit_space(data.x, scale=scale, is_image=data.is_image, most=most, rng=rng)
    source = Source(data, space, model, own, asked.seed, whole)
    return Advising(asked, source, test, progress or (lambda done, total: None)).run()
