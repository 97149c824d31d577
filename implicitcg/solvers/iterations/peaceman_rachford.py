"""Peaceman-Rachford splitting for layers `z = s(W z + b)` with a monotone `W`."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ...base import Status, while_loop
from ...core import AbstractSolver, Found
from ...equations import AffineEquilibrium
from ...linear.iteration import two_norm
from ...linear.peaceman_rachford import default_step, peaceman_rachford


class PeacemanRachford(AbstractSolver[AffineEquilibrium]):
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

    def run(self, problem: AffineEquilibrium, init: Array) -> Found:
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

        def unfinished(state: tuple) -> Array:
            _, size, _, steps, _, progress = state
            return ~(size <= tolerance) & (steps < self.max_steps) & progress

        def prox(u: Array) -> Array:
            return activation.prox(u, step)

        def run(state: tuple) -> tuple:
            z, size, defect, steps, inner, _ = state
            budget, wanted = self.max_steps - steps, unfinished(state)
            split = peaceman_rachford(V, step, prox, activation, z, defect, inner, budget, wanted=wanted)
            new = split.point
            s = problem.preactivation(new)
            new_size = two_norm(new - activation(s)) / jnp.maximum(two_norm(new), 1)
            better = new_size < size
            # the stopping test looks at z, and what is returned is x: seldom, another round is needed. It starts from
            # the residual as computed with W, whose rounding is that of single numbers and not of the splitting.
            return (
                jnp.where(better, new, z),
                jnp.where(better, new_size, size),
                jnp.where(better, new - s, defect),
                steps + split.steps + 1,
                jnp.minimum(inner / 2, tolerance / 1.5),
                (new_size < size / 2) & ~split.diverged,
            )

        begin = (
            init,
            jnp.full((), jnp.inf, b.dtype),
            init - problem.preactivation(init),
            jnp.zeros((), jnp.int32),
            jnp.maximum(tolerance / 1.5, 4 * jnp.finfo(b.dtype).eps * (1 + 1 / step)),
            jnp.asarray(True),
        )
        z, size, _, steps, _, _ = while_loop(unfinished, run, begin)
        status = Status.where(size <= tolerance, Status.converged, Status.not_converged)
        return Found(z, Status.where(jnp.isfinite(size), status, Status.diverged), steps, (V, step))
