"""What can be known of an array while JAX traces: the only place that asks JAX's internals."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
from jax._src import core


def outside_transformations() -> bool:
    """Whether no JAX transformation is tracing at present, so that no live tracer can be closed over."""
    return bool(core.trace_state_clean())


def concrete_value(x: Any) -> Any:
    """The value of `x` as a plain array, or `None` where it is abstract (under `jit`, or batched by `vmap`).

    Under eager `grad` and `jvp` the primal value behind the tracer is concrete and is returned.
    """
    if isinstance(x, core.Tracer):
        x = core.to_concrete_value(x)
        if x is None:
            return None
    return x


def concretely(predicate: Callable[[Any], Any], x: Any) -> bool | None:
    """`bool(predicate(value of x))`, evaluated at once even while a program is traced; `None` where `x` is abstract.

    On the CPU the predicate sees a NumPy array, so that checking a user's input compiles nothing.
    """
    value = concrete_value(x)
    if value is None:
        return None
    if not isinstance(value, jax.Array) or all(device.platform == "cpu" for device in value.devices()):
        return bool(predicate(np.asarray(value)))
    with jax.ensure_compile_time_eval():
        return bool(predicate(value))


def same_context() -> AbstractContextManager[None]:
    """A context in which JAX finds a program it has traced before, inside and outside of a derivative rule.

    Rules are traced with a mesh that is empty where none is set, which JAX takes for another context.
    """
    return jax.sharding.use_abstract_mesh(jax.sharding.get_abstract_mesh())


def is_traced(tree: Any) -> bool:
    """Whether any leaf of `tree` is a tracer."""
    return any(isinstance(leaf, core.Tracer) for leaf in jax.tree_util.tree_leaves(tree))
