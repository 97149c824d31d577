"""The one exception a failed solve raises, in Python and inside compiled code."""

from __future__ import annotations

from typing import TypeVar

import jax.numpy as jnp
import numpy as np

from .status import Status
from .tracing import concrete_value

T = TypeVar("T")


class SolveError(RuntimeError):
    """A solve or a derivative failed; the message says why and what to try.

    `status` is the `Status` behind it. Inside `jit` the same text arrives in the runtime error that JAX or Equinox
    raises, because compiled code cannot raise a Python class of ours.
    """

    def __init__(self, status: Status):
        super().__init__(Status[status])
        self.status = status


def raise_unless_converged(token: T, status: Status) -> T:
    """Return `token`, or raise the advice of `status` unless it is `converged`.

    With concrete values a `SolveError` is raised at once. With traced values the check is compiled into the program
    and fires when the program runs, so `token` has to be used by what follows.
    """
    value = concrete_value(status._value)
    if value is None:
        return status.error_if(token, status != Status.converged)
    gravest = int(np.max(np.asarray(value), initial=0))
    if gravest:
        raise SolveError(_item(gravest))
    return token


def worst(first: Status, second: Status) -> Status:
    """The graver of two statuses, elementwise."""
    return Status.where(jnp.asarray(first._value) >= jnp.asarray(second._value), first, second)


def _item(index: int) -> Status:
    return next(item for item in Status._name_to_item.values() if int(item._value) == index)
