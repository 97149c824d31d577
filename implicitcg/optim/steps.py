"""Step sizes under which subgradient methods with any selection converge to `0 in conv J`."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float


def vanishing_steps(initial: float, power: float = 0.5) -> Callable[[Array | int], Float[Array, ""]]:
    """The schedule `g_k = initial / (k + 1)^power` for `k = 0, 1, ...`, which vanishes slowly enough.

    The theory of stochastic subgradient methods on path differentiable functions asks for `sum g_k = infinity` and
    `g_k = o(1 / log k)` with bounded noise, and for `sum g_k^2 < infinity` where only the variance of the noise is
    bounded. Any `0 < power <= 1` meets the first two, `power > 1/2` all three. A constant step meets none: it converges
    to a neighbourhood only.

    Args:
        initial: `g_0 > 0`.
        power: in `(0, 1]`.

    Returns:
        A function of the step count, as Optax's schedules are.

    Raises:
        ValueError: outside these ranges.

    Example:
        >>> from implicitcg.optim import vanishing_steps
        >>> steps = vanishing_steps(0.1)
        >>> [round(float(steps(k)), 4) for k in (0, 3, 99)]
        [0.1, 0.05, 0.01]

    Source: Davis, Drusvyatskiy, Kakade, Lee, Stochastic subgradient method converges on tame functions, 2020; Bolte,
    Pauwels, Conservative set valued fields, automatic differentiation, stochastic gradient methods and deep learning,
    Mathematical Programming 2021.
    """
    if not initial > 0:
        raise ValueError(f"`initial` must be a positive step size, and is {initial}.")
    if not 0 < power <= 1:
        raise ValueError(
            f"`power` is {power}. Steps g_k = initial / (k + 1)^power go on for ever (sum g_k = infinity) only for "
            "power <= 1, and vanish only for power > 0: take it in (0, 1]."
        )
    return lambda count: initial / (jnp.asarray(count, jnp.float32) + 1) ** power
