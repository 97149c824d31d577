"""Keeping a free cell solvable while it trains: how far its Jacobian expands, as a penalty, an estimate and a bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from ..base import fori_loop


def jacobian_penalty(cell: Callable[[Any], Any], z: Any, key: Array, samples: int = 1) -> Float[Array, ""]:
    """Hutchinson's estimate of `||J||_F^2 / n` for the Jacobian of `cell` at `z`, to be added to a loss.

    Args:
        cell: `z -> cell(z, x)` with the input bound.
        z: the equilibrium, any pytree of floats.
        key: for the random directions.
        samples: directions averaged.

    Returns:
        A scalar, differentiable in what `cell` closes over and in `z`.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> one = lambda key: icg.deq.jacobian_penalty(lambda z: 2 * z, jnp.ones(3), key)
        >>> float(jax.vmap(one)(jax.random.split(jax.random.key(0), 10_000)).mean().round(1))  # ||2 I||_F^2 / 3
        4.0

    Source: Bai, Koltun, Kolter, Stabilizing equilibrium models by Jacobian regularization, ICML 2021.
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}; at least one direction is needed.")
    flat, unravel = ravel_pytree(z)
    _, pull = jax.vjp(lambda v: ravel_pytree(cell(unravel(v)))[0], flat)
    directions = jax.random.normal(key, (samples, flat.size), flat.dtype)
    return jnp.mean(jnp.square(jax.vmap(lambda v: pull(v)[0])(directions)))


def spectrally_normalised(matrix: Float[Array, "m n"], bound: float = 0.95, rounds: int = 30) -> Float[Array, "m n"]:
    """`matrix * min(1, bound / ||matrix||_2)`: with a 1-Lipschitz activation the cell contracts by about `bound`.

    The norm is found by `rounds` of power iteration on `M^T M`, which may fall short of it, and differentiated as
    `u^T M v` with `u` and `v` held still. Where the bound must be certain use `icg.deq.ContractiveDEQ`.

    Args:
        matrix: the weights.
        bound: positive.
        rounds: products with `M^T M`.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> icg.deq.spectrally_normalised(jnp.diag(jnp.array([2.0, 1.0])), 0.5).round(3)
        Array([[0.5 , 0.  ],
               [0.  , 0.25]], dtype=float32)

    Source: Miyato, Kataoka, Koyama, Yoshida, Spectral normalization for generative adversarial networks, ICLR 2018.
    """
    if not bound > 0:
        raise ValueError(f"bound is {bound}; it must be positive.")
    M = lax.stop_gradient(matrix)
    tiny = jnp.finfo(M.dtype).tiny
    start = _direction(M.shape[1], M.dtype)
    v = fori_loop(0, rounds, lambda _, v: _unit(M.T @ (M @ v)), start)
    size = _unit(M @ v) @ (matrix @ v)
    return matrix * jnp.minimum(1, bound / jnp.maximum(size, tiny))


def spectral_radius(cell: Callable[[Any], Any], z: Any, rounds: int = 40) -> Float[Array, ""]:
    """An estimate of the spectral radius of the Jacobian of `cell` at `z`: the growth a round of power iteration.

    Below 1 the plain iteration converges from nearby, the faster the smaller it is.

    Args:
        cell: `z -> cell(z, x)` with the input bound; of a whole batch, the largest radius is found.
        z: where, any pytree of floats.
        rounds: products with the Jacobian, at least 2; the first half only turns the vector.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> float(icg.deq.spectral_radius(lambda z: 0.5 * z, jnp.ones(3)).round(3))
        0.5
    """
    flat, unravel = ravel_pytree(z)
    _, push = jax.linearize(lambda v: ravel_pytree(cell(unravel(v)))[0], flat)
    tiny = jnp.finfo(flat.dtype).tiny

    def step(_: Any, state: tuple[Array, Array]) -> tuple[Array, Array]:
        image = push(state[0])
        size = jnp.linalg.norm(image)
        return image / jnp.maximum(size, tiny), state[1] + jnp.log(jnp.maximum(size, tiny))

    none, half = jnp.zeros((), flat.dtype), rounds // 2
    v, _ = fori_loop(0, half, step, (_direction(flat.size, flat.dtype), none))
    _, growth = fori_loop(0, rounds - half, step, (v, none))
    return jnp.exp(growth / (rounds - half))


def _direction(size: int, dtype: Any) -> Array:
    """A unit vector of no particular direction."""
    return _unit(jnp.cos(1 + jnp.arange(size, dtype=dtype)))


def _unit(v: Array) -> Array:
    return v / jnp.maximum(jnp.linalg.norm(v), jnp.finfo(v.dtype).tiny)
