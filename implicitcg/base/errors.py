"""The one exception a failed solve raises, in Python and inside compiled code."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, TypeVar

import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .loops import anywhere, inside_shard_map, vary_like
from .status import Status, code_of
from .tracing import concrete_value

T = TypeVar("T")


class SolveError(RuntimeError):
    """A solve or a derivative failed; the message says why and what to try.

    `status` is the `Status` behind it. Inside `jit` the same text arrives in the runtime error that JAX or Equinox
    raises, because compiled code cannot raise a Python class of ours. `detail` says what is known of the case at hand.
    """

    def __init__(self, status: Status, detail: str = ""):
        super().__init__(f"{Status[status]} {detail}".strip())
        self.status = status
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        """By number: a worker's failure reaches the process that waits for it, with its status."""
        return _solve_error, (int(code_of(self.status)), self.detail)


def raise_unless_converged(token: T, status: Status) -> T:
    """Return `token`, or raise the advice of `status` unless it is `converged`.

    With concrete values a `SolveError` is raised at once. With traced values the check is compiled into the program
    and fires when the program runs, so `token` has to be used by what follows.
    """
    value = concrete_value(code_of(status))
    if value is None:
        return error_if(token, status != Status.converged, status)
    gravest = int(np.max(np.asarray(value), initial=0))
    if gravest:
        raise SolveError(_item(gravest))
    return token


def error_if(token: T, predicate: Array, status: Status) -> T:
    """`token`, or the advice of `status` raised when the program runs and `predicate` holds somewhere.

    Equinox's `error_if`, and the same by a callback of our own inside `jax.shard_map`, whose types it does not meet.
    """
    if not inside_shard_map():
        return status.error_if(token, predicate)
    leaves, structure = jax.tree.flatten(token)
    index = eqxi.unvmap_max(jnp.broadcast_to(code_of(status), jnp.shape(predicate)))

    def fail(index: np.ndarray) -> list[np.ndarray]:
        raise RuntimeError(Status[_item(int(index))])

    def failed() -> list[Array]:
        shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
        empty = jax.pure_callback(fail, shapes, index, vmap_method="sequential")
        return [vary_like(e, leaf) for e, leaf in zip(empty, leaves, strict=True)]

    return jax.tree.unflatten(structure, lax.cond(anywhere(predicate), failed, lambda: leaves))


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Raise our `SolveError` for an error of ours that a compiled program reports while it runs eagerly."""
    quiet = _OurErrors()
    logger = logging.getLogger("jax._src.callback")  # logs the traceback of every failing callback
    logger.addFilter(quiet)
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        for status in Status._name_to_item.values():
            if Status[status] in text:
                raise SolveError(status) from None
        raise
    finally:
        logger.removeFilter(quiet)


class _OurErrors(logging.Filter):
    """Drops log records of failures that carry one of our texts: they are about to be raised as `SolveError`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is somebody else's."""
        error = str(record.exc_info[1]) if record.exc_info else record.getMessage()
        return not any(Status[status] in error for status in Status._name_to_item.values())


def worst(first: Status, second: Status) -> Status:
    """The graver of two statuses, elementwise."""
    return Status.where(jnp.asarray(code_of(first)) >= jnp.asarray(code_of(second)), first, second)


def _item(index: int) -> Status:
    return next(item for item in Status._name_to_item.values() if int(code_of(item)) == index)


def _solve_error(index: int, detail: str) -> SolveError:
    return SolveError(_item(index), detail)


def nondifferentiable(tree: Any, advice: str) -> Any:
    """`tree`, whose derivatives raise an error with the `advice` rather than be silently zero."""
    return eqxi.nondifferentiable(tree, msg=advice)
