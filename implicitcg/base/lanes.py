"""A callback that sees a whole batch, and works on its elements in threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import jax
import numpy as np


def lanes_on_host(function: Callable[..., Any], shapes: Any, *operands: Any) -> Any:
    """`function(*operands)` on NumPy arrays, one call for each element of a batch, the elements in several threads.

    Under `vmap`, in any nesting, there is one callback for the whole batch, so that libraries that release Python's
    lock (Clarabel, SCS and LAPACK do) work on as many elements at once as there are cores. What is not batched is
    handed to every element uncopied. `function` must not call JAX.

    Args:
        function: takes NumPy arrays in the place of `operands`, returns arrays like `shapes`.
        shapes: the structure, shapes and dtypes of one element's result.
        operands: pytrees of arrays.
    """
    axes = [np.ndim(leaf) for leaf in jax.tree.leaves(operands)]
    structure = jax.tree.structure(operands)

    def call(*operands: Any) -> Any:
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(operands)]
        batches = [leaf.shape[: leaf.ndim - own] for leaf, own in zip(leaves, axes, strict=True)]
        batch = np.broadcast_shapes(*batches)

        def element(index: tuple[int, ...]) -> list[np.ndarray]:
            own = [
                leaf[tuple(min(i, size - 1) for i, size in zip(index, shape, strict=True))] if shape else leaf
                for leaf, shape in zip(leaves, batches, strict=True)
            ]
            found = function(*jax.tree.unflatten(structure, own))
            like = jax.tree.leaves(shapes)
            return [np.asarray(f, l.dtype).reshape(l.shape) for f, l in zip(jax.tree.leaves(found), like, strict=True)]

        indices = list(np.ndindex(batch))
        results = [element(indices[0])] if len(indices) == 1 else list(_threads().map(element, indices))
        kinds = jax.tree.leaves(shapes)
        columns = list(zip(*results, strict=True)) if results else [() for _ in kinds]
        stacked = [
            np.asarray(column[0] if len(column) == 1 else np.stack(column) if column else [], kind.dtype).reshape(
                batch + kind.shape
            )
            for column, kind in zip(columns, kinds, strict=True)
        ]
        return jax.tree.unflatten(jax.tree.structure(shapes), stacked)

    return jax.pure_callback(call, shapes, *operands, vmap_method="expand_dims")


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="implicitcg")
