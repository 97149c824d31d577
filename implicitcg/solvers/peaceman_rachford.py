"""Peaceman-Rachford splitting for layers `z = s(W z + b)` with a monotone `W`."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ..base import Status, while_loop
from ..core import AbstractSolver, Found
from ..linear.iteration import norm
from ..linear.peaceman_rachford import default_step, peaceman_rachford


class PeacemanRachford(AbstractSolver):
    """`z = V (u + a b)`, `u <- u + 2 (prox_{a g}(2 z - u) - z)` with `V = (I + a (I - W))^{-1}`.

    It converges for every monotone `W`, of any norm, where the plain iteration and Anderson's need luck. The inverse is
    made once a solve, and shared by a batch under `vmap`; the derivative's linear system reuses it.

    Args:
        tolerance: reach `||z - s(W z + b)|| <= tolerance max(1, ||z||)`; `None` means `100 eps`.
        step: `a > 0`; by default `1.25` over the root mean square singular value of `I - W`, and 1 for activations
            whose prox is known at 1 only.
        max_steps: products with `V` at the most.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> problem = icg.affine_equilibrium(jnp.array([[0.5, 9.0], [-9.0, 0.5]]), jnp.array([1.0, 2.0]))
        >>> bool(icg.solve(problem, icg.solvers.PeacemanRachford(step=0.1)).converged)
        True

    Source: Winston, Kolter, Monotone operator equilibrium networks, NeurIPS 2020.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    step: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=1000)

    def run(self, problem: Any, init: Array) -> Found:
        """See `AbstractSolver.run`."""
        self.require(problem, "map", "bias", "activation")
        W, b, activation = problem.map, problem.bias, problem.activation
        tolerance = 100 * float(jnp.finfo(b.dtype).eps) if self.tolerance is None else self.tolerance
        if self.step is not None:
            if self.step <= 0:
                raise ValueError(f"step is {self.step}; the step of a splitting must be positive.")
            if not activation.any_step and self.step != 1:
                raise ValueError("the prox of this activation is known for the step 1 only. Leave `step` out.")
        step = jnp.asarray(1.0 if self.step is None else self.step, b.dtype)
        if self.step is None and activation.any_step:
            step = default_step(W)
        V = W.resolvent(step)

        def judged(z: Array) -> Array:
            return norm(problem.residual(z)) / jnp.maximum(norm(z), 1)

        def unfinished(state: tuple) -> Array:
            _, size, _, steps, inner, diverged = state
            floor = jnp.finfo(b.dtype).eps / 16
            return ~(size <= tolerance) & (steps < self.max_steps) & (inner > floor) & ~diverged

        def run(state: tuple) -> tuple:
            z, size, s, steps, inner, _ = state
            # the u whose z is the present point, as it is at the solution; so any init is a warm start
            start = z - step * (s - z)
            split = peaceman_rachford(
                V,
                step,
                lambda u: activation.prox(u, step),
                activation,
                b,
                start,
                inner,
                self.max_steps - steps,
            )
            new = activation(split.preactivation)
            new_size = judged(new)
            better = new_size < size
            # the stopping test looks at z, and what is returned is s(W z + b): seldom, another round is needed
            return (
                jnp.where(better, new, z),
                jnp.where(better, new_size, size),
                jnp.where(better, split.preactivation, s),
                steps + split.steps,
                inner / 4,
                split.diverged | ~jnp.isfinite(new_size),
            )

        first = judged(init)
        none = jnp.zeros((), jnp.int32)
        begin = (
            init,
            jnp.where(jnp.isfinite(first), first, jnp.inf),
            problem.preactivation(init),
            none,
            jnp.asarray(tolerance / 1.5, b.dtype),
            ~jnp.isfinite(first),
        )
        z, size, _, steps, _, diverged = while_loop(unfinished, run, begin)
        status = Status.where(size <= tolerance, Status.converged, Status.not_converged)
        return Found(z, Status.where(diverged, Status.diverged, status), steps, (V, step))
