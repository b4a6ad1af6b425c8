"""What networks learn of data: accuracy on rows that one of them was not trained on."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax import Array

from nfl_pruning.networks.measuring import measure_rows
from nfl_pruning.networks.training import Training, make_samples, train_replicas
from nfl_pruning.pruning.plausible import largest_share
from nfl_pruning.settings import with_own_settings


@with_own_settings
def check_learning(
    key: Array,
    data: tuple[Array, np.ndarray],
    *,
    share: float,
    model: nn.Module,
    training: Training,
    until: int,
    shape: tuple[int, ...],
) -> dict[str, Any] | None:
    """Train a network on all rows but a share of them, and test it on these.

    Args:
        key: of the split, the start and the order.
        data: inputs (n, d) and class codes (n,).
        share: of rows that are held out, in [0, 1); 0: no check.
        model: the network.
        training: how it is trained.
        until: epochs of that training that are done.
        shape: of one input before flattening.

    Returns:
        ``accuracy`` on the held-out ``rows`` (NaN where training diverged) and the share of their
        ``largest_class``; None without any.
    """
    x, y = data
    held = int(np.floor(share * len(y) + 0.5))
    if not 0 < held < len(y) or until < 1:
        return None
    key_split, key_train = jax.random.split(key)
    order = np.asarray(jax.random.permutation(key_split, len(y)))
    tested, trained = order[None, :held], order[None, held:]
    state = train_replicas(
        key_train[None],
        make_samples(x, trained, y[trained]),
        model=model,
        training=training,
        until=until,
        shape=shape,
    )
    ((accuracy, _),) = measure_rows(model, state.params, x, rows=tested, labels=y[tested])
    return {"accuracy": accuracy, "largest_class": largest_share(y[tested[0]]), "rows": held}
