"""Checks of labels: classes of samples, groups of features."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from .tracing import concrete_value, concretely


def two_classes(y: Array) -> Array:
    """Labels in {-1, 1}, both of which occur where their values are known.

    They may be off by 1e-3, so that derivatives in the labels can be compared with differences.
    """
    value = concrete_value(y)
    if value is None:
        return y
    found = np.unique(np.asarray(value))
    if concretely(lambda value: (np.abs(np.abs(value) - 1) <= 1e-3).all(), y) is False:
        shown = ", ".join(f"{label:g}" for label in found[:5]) + (", ..." if len(found) > 5 else "")
        if len(found) == 2:
            hint = "Use `2 * y - 1`" if set(found) == {0.0, 1.0} else f"Use `jnp.where(y == {found[1]:g}, 1.0, -1.0)`"
        elif len(found) == 1:
            hint = "There is one class only, so there is nothing to tell apart"
        else:
            hint = "For more classes fit one model for each against the rest: `jnp.where(y == label, 1.0, -1.0)`"
        raise ValueError(f"y holds the labels {shown}; two classes named -1 and 1 are needed. {hint}.")
    if (found > 0).all() or (found < 0).all():
        raise ValueError(f"y holds one class only ({found[0]:g}); samples of both classes, -1 and 1, are needed.")
    return y


def groups(labels: Any, p: int) -> tuple[Array, np.ndarray]:
    """Group labels `(p,)` counted from 0, and the sizes of the groups; every integer between must occur."""
    advice = (
        "Give one integer label per feature, as [0, 0, 1, 1, 1] for two groups of two and three features; a feature "
        "belongs to one group."
    )
    if labels is None:
        raise TypeError(f"groups is None. {advice}")
    value = concrete_value(labels) if hasattr(labels, "shape") else labels
    if value is None:
        raise TypeError("groups is traced: the labels decide shapes, so pass them as a concrete array of integers.")
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"groups is ragged, like a list of index lists, which may overlap. {advice}") from None
    if array.shape != (p,):
        raise ValueError(f"groups has shape {array.shape}; shape ({p},) is needed. {advice}")
    if array.dtype.kind not in "iu":
        raise ValueError(f"groups holds {array.dtype} entries. {advice}")
    lowest = int(array.min())
    if lowest < 0:
        raise ValueError(f"groups has a negative label ({lowest}). {advice}")
    shifted = array - lowest
    sizes = np.bincount(shifted)
    if not sizes.all():
        empty = int(np.flatnonzero(sizes == 0)[0]) + lowest
        raise ValueError(
            f"group {empty} is empty: no feature has this label, though smaller and larger ones occur. Number the "
            "groups without gaps: `np.unique(groups, return_inverse=True)[1]`."
        )
    return jnp.asarray(shifted, jnp.int32), sizes
