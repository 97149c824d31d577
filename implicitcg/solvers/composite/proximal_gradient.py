"""Proximal gradient with momentum and restarts: slow, general, and a second opinion on every composite problem."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ...base import Status, while_loop
from ...core import AbstractSolver, Found
from ...equations import Composite
from ...linear.solves import largest_eigenvalue


class ProximalGradient(AbstractSolver[Composite]):
    """FISTA with adaptive restart for `f + g`; the step is `1 / L` by power iteration on the Hessian.

    Momentum is harmless here: derivatives come from the equation and never from these iterates. It stops when
    `||z - prox(z - step grad f(z))||_inf <= tolerance (1 + ||z||_inf)`; `tolerance=None` means `1e3 eps`.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=100_000)

    def run(self, problem: Composite, init: Float[Array, " p"]) -> Found:
        tolerance = 1e3 * float(jnp.finfo(init.dtype).eps) if self.tolerance is None else self.tolerance
        smooth, penalty = problem.smooth, problem.penalty
        # at 0, where the losses of this library that are not quadratic bend most; short enough for the penalty
        zero = jnp.zeros_like(init)
        estimate = largest_eigenvalue(lambda v: smooth.hessian_product(zero, v), len(init), init.dtype, rounds=50)
        largest = jnp.maximum(1.02 * 1.05 * estimate, 1.02 * jnp.finfo(init.dtype).tiny)
        step = jnp.min(penalty.steps(jnp.full_like(init, 1) * largest))

        def unfinished(state: tuple) -> Array:
            z, _, _, change, count = state
            return (change > tolerance * (1 + jnp.max(jnp.abs(z)))) & (count < self.max_steps)

        def advance(state: tuple) -> tuple:
            z, ahead, momentum, _, count = state
            new = penalty.prox(ahead - step * smooth.gradient(ahead), step)
            # restart when the momentum points uphill (O'Donoghue and Candes, 2015)
            uphill = jnp.vdot(ahead - new, new - z) > 0
            grown = jnp.where(uphill, 1, (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2)
            weight = jnp.where(uphill, 0, (momentum - 1) / grown)
            return new, new + weight * (new - z), grown, jnp.max(jnp.abs(new - ahead)), count + 1

        one = jnp.ones((), init.dtype)
        start = (init, init, one, jnp.full_like(one, jnp.inf), jnp.zeros((), jnp.int32))
        z, _, _, change, count = while_loop(unfinished, advance, start)
        done = change <= tolerance * (1 + jnp.max(jnp.abs(z)))
        status = Status.where(done, Status.converged, Status.not_converged)
        return Found(z, Status.where(jnp.isfinite(change), status, Status.diverged), count)
