"""Broyden's method with a limited memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ...core import AbstractProblem, AbstractSolver, Found
from ...linear.iteration import two_norm
from .equation import solve_by


class _Memory(NamedTuple):
    left: Array  # (m, n), newest first
    right: Array  # (m, n)
    u: Array
    F: Array
    begun: Array


class _Update(NamedTuple):
    """`u <- u - H F` with `H = I + sum_i l_i r_i^T`, an estimate of the inverse Jacobian."""

    memory: int
    restart: float

    def empty(self, u: Array) -> _Memory:
        none = jnp.zeros((self.memory, u.size), u.dtype)
        return _Memory(none, none, u, jnp.zeros_like(u), jnp.asarray(False))

    def advance(self, u: Array, F: Array, memory: _Memory) -> tuple[Array, _Memory]:
        full = jnp.any(memory.left[-1] != 0)  # the terms build on each other: the oldest cannot be dropped alone
        keep = memory.begun & ~full & (two_norm(F) <= self.restart * two_norm(memory.F))
        left, right = jnp.where(keep, memory.left, 0), jnp.where(keep, memory.right, 0)
        du, dF = jnp.where(keep, u - memory.u, 0), jnp.where(keep, F - memory.F, 0)
        image = dF + (right @ dF) @ left  # H dF
        weight = du + (left @ du) @ right  # H^T du
        curvature = jnp.vdot(du, image)
        small = 1e-2 * float(jnp.finfo(u.dtype).eps) ** 0.5 * two_norm(du) * two_norm(image)
        usable = jnp.abs(curvature) > small
        change = jnp.where(usable, (du - image) / jnp.where(usable, curvature, 1), 0)
        left = jnp.concatenate([change[None], left[:-1]])
        right = jnp.concatenate([weight[None], right[:-1]])
        step = F + (right @ F) @ left
        return u - step, _Memory(left, right, u, F, jnp.asarray(True))


class Broyden(AbstractSolver[AbstractProblem]):
    """`z <- z - H F(z)` with rank-one updates `H += (dz - H dF) dz^T H / (dz^T H dF)` from `H = I`.

    Args:
        tolerance: reach `||F(z)|| <= tolerance max(1, ||z||)`; `None` means `100 eps`.
        memory: rank-one terms kept; when there are as many, the estimate starts again from `I`.
        restart: so it does when the residual grows by more than this factor.
        max_steps: evaluations at the most.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> float(icg.solve(icg.fixed_point(jnp.cos), icg.solvers.Broyden(), init=0.0).value.round(3))
        0.739

    Source: Broyden, A class of methods for solving nonlinear simultaneous equations, Math. Comp. 1965.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    memory: int = eqx.field(static=True, default=20)
    restart: float = eqx.field(static=True, default=10.0)
    max_steps: int = eqx.field(static=True, default=1000)

    def __check_init__(self) -> None:
        if self.memory < 1:
            raise ValueError(f"Broyden needs memory >= 1; it is {self.memory}.")

    def run(self, problem: AbstractProblem, init: Any) -> Found:
        return solve_by(problem, init, _Update(self.memory, self.restart), self.tolerance, self.max_steps)
