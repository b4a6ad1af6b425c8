"""The settings of JAX that this package's code is written for, whatever the user's are."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def own_settings() -> Iterator[None]:
    """A scope with JAX's defaults for rank and dtype promotion and for transfers.

    Users set them to find faults in their own code (``jax_numpy_rank_promotion="raise"``,
    ``jax_numpy_dtype_promotion="strict"``, ``jax_transfer_guard="disallow"``); here numpy arrays
    and broadcasting are used on purpose.
    """
    with ExitStack() as scope:
        scope.enter_context(jax.numpy_rank_promotion("allow"))
        scope.enter_context(jax.numpy_dtype_promotion("standard"))
        scope.enter_context(jax.transfer_guard("allow"))
        yield


def with_own_settings(function: Callable[P, T]) -> Callable[P, T]:
    """Run the decorated public function in :func:`own_settings`."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with own_settings():
            return function(*args, **kwargs)

    return run


def float64(function: Callable[P, T]) -> Callable[P, T]:
    """Run the decorated function in double precision and :func:`own_settings`."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with own_settings(), jax.enable_x64(True):
            return function(*args, **kwargs)

    return run
