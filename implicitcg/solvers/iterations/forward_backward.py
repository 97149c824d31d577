"""Forward-backward splitting for layers `z = s(W z + b)` with a monotone `W`."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ...core import AbstractSolver, Found
from ...equations import AffineEquilibrium
from ...linear.anderson import AndersonMixing
from ...linear.iteration import Damped, Evaluated, run_iteration, two_norm
from ...linear.peaceman_rachford import default_step
from .equation import Equation, found


class ForwardBackward(AbstractSolver[AffineEquilibrium]):
    """`z <- prox_{a g}(z - a ((I - W) z - b))` for the layer whose activation is `prox_g`.

    It needs no inverse, so it is for maps whose resolvent is dear. For an m-monotone `W` it contracts if
    `a < 2 m / ||I - W||^2`; Anderson acceleration, on by default, carries it beyond, without a guarantee.

    Args:
        tolerance: reach `||z - s(W z + b)|| <= tolerance max(1, ||z||)`; `None` means `100 eps`.
        step: `a > 0`; by default `0.625` over the root mean square singular value of `I - W`.
        memory: differences that Anderson keeps; 0 for the plain iteration.
        max_steps: products with `W` at the most.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> problem = icg.affine_equilibrium(jnp.array([[0.5, 2.0], [-2.0, 0.5]]), jnp.array([1.0, 2.0]))
        >>> icg.solve(problem, icg.solvers.ForwardBackward(step=0.2)).value.round(3)
        Array([2., 0.], dtype=float32)

    Source: Winston, Kolter, Monotone operator equilibrium networks, NeurIPS 2020.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    step: float | None = eqx.field(static=True, default=None)
    memory: int = eqx.field(static=True, default=5)
    max_steps: int = eqx.field(static=True, default=2000)

    def run(self, problem: AffineEquilibrium, init: Array) -> Found:
        W, b, activation = problem.map, problem.bias, problem.activation
        if self.step is not None and (self.step <= 0 or not (activation.any_step or self.step == 1)):
            raise ValueError(f"step is {self.step}; it must be positive, and 1 for an activation known at 1 only.")
        step = jnp.asarray(1.0 if self.step is None else self.step, b.dtype)
        if self.step is None and activation.any_step:
            step = default_step(W) / 2
        tolerance = 100 * float(jnp.finfo(b.dtype).eps) if self.tolerance is None else self.tolerance

        def evaluate(u: Array) -> Evaluated:
            s = W.apply(u) + b
            F = u - activation.prox(u + step * (s - u), step)
            return Evaluated(F, two_norm(u - activation(s)), jnp.maximum(two_norm(u), 1), u)

        method = AndersonMixing(self.memory) if self.memory else Damped()
        reached = run_iteration(evaluate, init, method, tolerance, self.max_steps)
        return found(Equation(evaluate, init, lambda u: u, tolerance), reached)
