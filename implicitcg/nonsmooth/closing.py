"""A Python function and its arguments as a traced program on a flat list of arrays, closures included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp

from ..base import jaxprs
from .custom import moves


class Closed(NamedTuple):
    """`program` on `arguments`: first what the function closes over, then the array leaves of its arguments."""

    program: Any
    arguments: list[Array]
    closed_over: int
    structure: Any  # of the result

    @property
    def moving(self) -> list[bool]:
        return [moves(argument) for argument in self.arguments]

    def rebuild(self, results: list[Any]) -> Any:
        return jax.tree_util.tree_unflatten(self.structure, results)


def is_array(leaf: Any) -> bool:
    """Whether a leaf of the arguments is data (else it stays as it is: a string, a function)."""
    return isinstance(leaf, Array | np.ndarray | np.generic | float | int | complex | bool)


def close(fn: Callable[..., Any], args: tuple, kwargs: dict) -> Closed:
    """Trace `fn` at these arguments; arrays from outside become arguments too, so that they are differentiated."""
    leaves, tree = jax.tree_util.tree_flatten((args, kwargs))
    data = [is_array(leaf) for leaf in leaves]
    arrays = [jnp.asarray(leaf) for leaf, is_data in zip(leaves, data, strict=False) if is_data]

    def flat(*arrays):
        supply = iter(arrays)
        merged = [next(supply) if is_data else leaf for leaf, is_data in zip(leaves, data, strict=False)]
        args, kwargs = jax.tree_util.tree_unflatten(tree, merged)
        return fn(*args, **kwargs)

    closed, shapes = jaxprs.trace(flat, *arrays)
    free, constants = jaxprs.without_constants(closed)
    constants = [jnp.asarray(constant) if is_array(constant) else constant for constant in constants]
    return Closed(free, [*constants, *arrays], len(constants), jax.tree_util.tree_structure(shapes))
