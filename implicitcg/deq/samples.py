"""What every layer does with one sample: its precision, and what becomes of one that is not finite."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool

from ..base import Status, worst
from ..core import Solution


def cast(tree: Any, dtype: Any) -> Any:
    """The floating leaves in `dtype`; `None` leaves all as they are."""
    if dtype is None:
        return tree
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, tree)


def working_dtype(dtypes: list[Any]) -> Any:
    """float32 where one of the dtypes is shorter, whose rounding is far above any tolerance; else `None`: as given."""
    short = [dtype for dtype in dtypes if jnp.finfo(dtype).bits < 32]
    return jnp.dtype(jnp.float32) if short else None


def backward_tolerance(tolerance: float | None, polish: bool, dtype: Any) -> float | None:
    """That of the backward solve: as forward, and after a polish no looser than the default."""
    return min(tolerance, float(jnp.finfo(dtype).eps) ** 0.75) if polish and tolerance is not None else tolerance


def finite(tree: Any) -> Bool[Array, ""]:
    """Whether every floating entry is finite."""
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf)]
    return jnp.all(jnp.stack(leaves)) if leaves else jnp.asarray(True)


def without_bad_numbers(tree: Any) -> Any:
    """`tree`, with zeros for every array that is not finite: its gradient is then zero and not NaN.

    Each array is judged for itself, so that one which a batch shares, as weights among the inputs, stays shared.
    """
    return jax.tree.map(lambda leaf: jnp.where(finite(leaf), leaf, 0) if eqx.is_inexact_array(leaf) else leaf, tree)


def presented(solution: Solution, like: Any, good: Array) -> Solution:
    """The solution in the dtypes of `like`, with the verdict on the input."""
    value = jax.tree.map(lambda leaf, z: leaf.astype(z.dtype), solution.value, like)
    status = worst(solution.status, Status.where(good, Status.converged, Status.non_finite_input))
    return eqx.tree_at(lambda s: (s.value, s.status), solution, (value, status))
