"""INNA: an inertial Newton method without second derivatives, for nonsmooth losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from ..base import needs
from .steps import vanishing_steps

if TYPE_CHECKING:
    import optax


class InnaState(NamedTuple):
    """`psi`, the second variable of the dynamics, of the structure of the parameters, and the number of steps taken."""

    psi: PyTree
    count: Int[Array, ""]  # pyright: ignore[reportIncompatibleMethodOverride]


def inna(
    learning_rate: float | Callable[[Array], Array], alpha: float = 0.5, beta: float = 0.1
) -> optax.GradientTransformation:
    r"""INNA, the discretisation of `theta'' + alpha theta' + beta d/dt v + v = 0`, `v` an element of `J_loss(theta)`.

    With `psi_0 = (1 - alpha beta) theta_0` and step sizes `g_k`, one step is

        p = (alpha - 1/beta) theta + psi / beta
        psi <- psi - g_k p
        theta <- theta - g_k (p + beta v)

    `alpha` is the viscous damping, `beta` the Newton-like one (geometric damping); no Hessian is formed. With any
    selection `v` of a conservative gradient and vanishing steps, limit points satisfy `0 in conv J_loss`.

    Args:
        learning_rate: a number `r` for `g_k = r / sqrt(k + 1)` (`icg.optim.vanishing_steps`), or a schedule
            `k -> g_k`. INNA owns its step size: it enters both variables, so do not chain it with a scaling.
        alpha: nonnegative.
        beta: positive.

    Returns:
        An Optax transformation; its `update` needs the parameters: `update(gradients, state, params)`.

    Raises:
        ValueError: `alpha < 0`, `beta <= 0`, a step that is not positive, or an update without parameters.
        ImportError: Optax is not installed.

    Example:
        >>> import jax, jax.numpy as jnp, optax, implicitcg as icg
        >>> method, theta = icg.optim.inna(optax.constant_schedule(0.1)), jnp.array(1.0)
        >>> state = method.init(theta)
        >>> for _ in range(2):
        ...     updates, state = method.update(jax.grad(lambda t: t**2 / 2)(theta), state, theta)
        ...     theta = optax.apply_updates(theta, updates)
        >>> round(float(theta), 4)
        0.9706

    Source: Castera, Bolte, Fevotte, Pauwels, An inertial Newton algorithm for deep learning, JMLR 2021.
    """
    if alpha < 0 or not beta > 0:
        raise ValueError(f"INNA needs alpha >= 0 and beta > 0, and got alpha={alpha}, beta={beta}.")
    steps = learning_rate if callable(learning_rate) else vanishing_steps(learning_rate)

    def init(params: PyTree) -> InnaState:
        return InnaState(jax.tree.map(lambda t: (1 - alpha * beta) * t, params), jnp.zeros((), jnp.int32))

    def update(updates: PyTree, state: InnaState, params: PyTree = None) -> tuple[PyTree, InnaState]:
        if params is None:
            raise ValueError(
                "INNA moves along its parameters, not only along gradients: call "
                "`update(gradients, state, params)` with the current parameters."
            )
        size = steps(state.count)

        def phase(theta: Array, psi: Array) -> Array:
            return (alpha - 1 / beta) * theta + psi / beta

        def move(theta: Array, psi: Array, v: Array) -> Array:
            return (-size * (phase(theta, psi) + beta * v)).astype(theta.dtype)

        def follow(theta: Array, psi: Array) -> Array:
            return (psi - size * phase(theta, psi)).astype(psi.dtype)

        psi = jax.tree.map(follow, params, state.psi)
        return jax.tree.map(move, params, state.psi, updates), InnaState(psi, state.count + 1)

    return needs("optax", "optim", "icg.optim.inna").GradientTransformation(init, update)
