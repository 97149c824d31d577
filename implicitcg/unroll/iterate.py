"""`iterate`: `z_{k+1} = f(z_k, *args)`, differentiated through all steps or through the last ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
from jax import lax
from jaxtyping import PyTree

from ..base import fori_loop

Z = TypeVar("Z")


def iterate(f: Callable[..., Z], z0: Z, *args: PyTree, steps: int, last: int | None = None) -> Z:
    """`z_k` after `k = steps` steps of `z_{i+1} = f(z_i, *args)`, differentiable through the `last` of them.

    Differentiating all steps (`last=None`) is piggyback differentiation in forward mode, backpropagation in reverse:
    `D_{i+1} = M_i D_i + N_i` for an element `[N_i M_i]` of the conservative Jacobian at `z_i`. With `last=K` the steps
    before are constants, `D = sum_{i<K} M^i N` near the limit, and reverse mode stores `K` states only; `last=1` is
    one-step differentiation. None of them is the derivative of the limit: `icg.unroll.derivative` tells how far off.

    Args:
        f: a JAX function `(z, *args) -> z` that keeps structure, shapes and dtypes.
        z0: the start, a pytree of arrays. With `last=None` it carries derivatives, too.
        *args: pytrees of parameters.
        steps: how many steps, at least `last`.
        last: how many of them are differentiated; `None` for all.

    Returns:
        `z_k`. It works under `jit`, `vmap`, forward and reverse mode.

    Raises:
        ValueError: `steps` or `last` out of range.

    Example:
        >>> import jax, implicitcg as icg
        >>> step = lambda z, t: 0.9 * z + t  # the limit is 10 t
        >>> derivative = lambda K: jax.grad(lambda t: icg.unroll.iterate(step, 0.0, t, steps=200, last=K))(1.0)
        >>> [round(float(derivative(K)), 3) for K in (1, 10, None)]
        [1.0, 6.513, 10.0]

    Source: Bolte, Pauwels, Vaiter, Automatic differentiation of nonsmooth iterative algorithms, NeurIPS 2022, and
    One-step differentiation of iterative algorithms, NeurIPS 2023.
    """
    if steps < 0:
        raise ValueError(f"`steps` is the number of steps, zero or more, and is {steps}.")
    last = steps if last is None else last
    if not 0 <= last <= steps:
        raise ValueError(f"`last` is the number of differentiated steps, from 0 to steps={steps}, and is {last}.")
    z0 = jax.tree.map(jax.numpy.asarray, z0)
    image = jax.eval_shape(lambda z: jax.tree.map(jax.numpy.asarray, f(z, *args)), z0)
    shapes = [jax.tree.map(jax.numpy.shape, tree) for tree in (z0, image)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"The function maps a point of shapes {shapes[0]} to shapes {shapes[1]}; one step must keep the structure "
            "and the shapes of the unknown."
        )
    dtypes = jax.tree.map(lambda leaf: leaf.dtype, image)
    z0 = jax.tree.map(lambda leaf, dtype: leaf.astype(dtype), z0, dtypes)  # an integer start becomes what a step makes
    if last < steps:
        still = lax.stop_gradient((z0, args))
        z0 = fori_loop(0, steps - last, lambda _, z: f(z, *still[1]), still[0])
        z0 = lax.stop_gradient(z0)
    return lax.scan(lambda z, _: (f(z, *args), None), z0, None, length=last)[0]
