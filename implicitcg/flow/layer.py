"""`NeuralODE`: a flow as a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import PyTree

from .solve import solve


class NeuralODE(eqx.Module):
    """The layer `y0 -> y(T)` of `y' = field(t, y, args)`, an Equinox module whose weights are those of the field.

    With ReLU in the field every sign change of a unit is located, so the loss is differentiated as accurately as it is
    computed. It works like any layer: `vmap` for a batch, `eqx.filter_grad` for training.

    Args:
        field: a module or function `(t, y, args)`; its arrays are the layer's parameters.
        duration: the time `T`; a floating-point number, learnable if it is an array.
        options: keyword arguments of `icg.flow.solve`, such as `rtol` and `max_crossings`.

    Example:
        >>> import equinox as eqx, jax, jax.numpy as jnp, implicitcg as icg
        >>> class Field(eqx.Module):
        ...     net: eqx.nn.MLP
        ...     def __call__(self, t, y, args):
        ...         return self.net(y)
        >>> net = eqx.nn.MLP(2, 2, width_size=8, depth=1, activation=jax.nn.relu, key=jax.random.key(0))
        >>> layer = icg.flow.NeuralODE(Field(net))
        >>> jax.vmap(layer)(jnp.zeros((3, 2))).shape
        (3, 2)
    """

    field: Callable[..., Any]
    duration: Any
    options: dict[str, Any] = eqx.field(static=True)

    def __init__(self, field: Callable[..., Any], duration: float | Array = 1.0, **options: Any):
        if not callable(field):
            raise TypeError(f"field must be a function (t, y, args) and is a {type(field).__name__}.")
        self.field, self.duration, self.options = field, duration, options

    def __call__(self, y0: PyTree, args: PyTree = None) -> PyTree:
        """`y(T)`, of the structure of `y0`."""
        ends = jnp.asarray(self.duration)
        flow = solve(self.field, y0, args, (jnp.zeros_like(ends), ends), **self.options)
        return jax.tree.map(lambda leaf: leaf[-1], flow.value)
