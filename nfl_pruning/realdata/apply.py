"""From a policy to rows and weights of the data it was advised for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nfl_pruning.data.dataset import Dataset
from nfl_pruning.realdata.fitted.space import Space
from nfl_pruning.realdata.policies import Policy
from nfl_pruning.realdata.rounds.probing import RowsProbe
from nfl_pruning.realdata.rounds.refits import rank_key

if TYPE_CHECKING:
    from nfl_pruning.pruning.pruned import Pruned

APPLY = 5  # stream of random numbers


@dataclass(frozen=True)
class Source:
    """The data of an advice.

    Attributes:
        dataset: all rows that may be pruned.
        space: its axes.
        probe: how the model that scores is fitted.
        logits: the user's own model's, where given.
        seed: of the advice.
        whole: the data with their protected rows, which the advice does not see.
    """

    dataset: Dataset
    space: Space
    probe: RowsProbe
    logits: np.ndarray | None
    seed: int
    whole: Dataset | None = None

    def scores(self, policy: Policy) -> np.ndarray:
        """What the policy ranks all rows by, shape (n,)."""
        data = self.dataset
        x = self.space(data.x)
        logits = self.logits
        if logits is None:
            rng = np.random.default_rng([self.seed, APPLY])
            logits = self.probe.logits(rng, x, data.y, len(data.classes))
        return rank_key(policy, x, data.y, logits)


def apply_policy(source: Source, policy: Policy, keep_fraction: float) -> Pruned:
    """Indices and weights, by the same machinery as ``nfl-pruning prune``."""
    from nfl_pruning.pruning.run import prune

    scores = source.scores(policy)
    found = prune(
        source.dataset,
        seed=source.seed,
        keep=policy.keep,
        keep_fraction=keep_fraction,
        selection=policy.selection,
        scores=scores,
        scores_config={
            "score": policy.score,
            "policy": policy.label,
            "probe": source.probe.label,
            "probe_ridge": source.probe.ridge,
            "features": source.space.sentence,
        },
    )
    return found if source.whole is None else found.among(source.whole)
