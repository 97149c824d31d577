"""A primal-dual interior point method for dense quadratic programs, ended by a polish on the active set."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import lu_factor, lu_solve
from jaxtyping import Bool, Float, Int

from ...base import Status, one_by_one, while_loop
from ...core import AbstractSolver, Found
from ...equations import QP
from ...equations.quadratic_program import KKT
from .active_constraints import Candidate, blank, exchanged
from .no_solution import infeasible, unbounded, unique


class _Point(NamedTuple):
    x: Float[Array, " n"]
    y: Float[Array, " e"]
    s: Float[Array, " m"]
    z: Float[Array, " m"]


class _State(NamedTuple):
    point: _Point
    error: Float[Array, ""]
    steps: Int[Array, ""]
    overflown: Bool[Array, ""]


class InteriorPoint(AbstractSolver[QP]):
    """Mehrotra's predictor-corrector method, ended by a polish on the active set.

    The interior point phase brings the active set into view; on the right active set the optimality system is linear,
    so that one solve (the polish) is exact to rounding. Where the signs of the polished point are wrong, those
    constraints are exchanged; where no such point is accepted, the interior point phase goes on to a hundredth of its
    tolerance. Infeasible and unbounded programs are told by the rays along which the iterates grow.

    Args:
        tolerance: relative size of the residuals and of the complementarity at which the polish takes over; `None`
            means `eps^{1/2}`.
        max_steps: interior point steps at the most.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=60)

    def run(self, problem: QP, init: Any) -> Found:
        """See `AbstractSolver.run`; it makes its own start."""
        del init
        return one_by_one(self._run)(problem)

    def _run(self, problem: QP) -> Found:
        eps = float(jnp.finfo(problem.q.dtype).eps)
        goal = eps**0.5 if self.tolerance is None else self.tolerance
        point = _starting_point(problem)
        zero = jnp.zeros((), jnp.int32)
        state = _State(point, _error(problem, point), zero, jnp.zeros((), bool))
        goals = goal * 100.0 ** -jnp.arange(1 + max(0, round(math.log(goal / (1e3 * eps), 100))), dtype=point.x.dtype)

        def refused(carry: tuple[_State, Candidate, Array]) -> Bool[Array, ""]:
            state, end, rounds = carry
            near = state.error <= 1e3 * goals[jnp.maximum(rounds - 1, 0)]
            return (rounds == 0) | (~end.accepted & near & (rounds < len(goals)))

        def further(carry: tuple[_State, Candidate, Array]) -> tuple[_State, Candidate, Array]:
            state, _, rounds = carry
            state = self._approach(problem, state, goals[rounds])
            return state, exchanged(problem, *state.point, state.steps), rounds + 1

        nothing = blank(jax.eval_shape(lambda: exchanged(problem, *point, zero)))
        state, end, _ = while_loop(refused, further, (state, nothing, zero))
        point, status = state.point, end.found.status
        # judged by the interior point phase: far out on a ray, a residual is small beside the iterate and means nothing
        near = state.error <= 1e3 * goal
        failed = ~(end.accepted & near)
        status = Status.where(failed & (status == Status.converged), Status.not_converged, status)
        reached = KKT(point.x, point.y, point.s - point.z)
        z = jax.tree.map(lambda a, b: jnp.where(end.accepted, a, b), end.found.z, reached)
        several = failed & near
        several = several & ~unique(problem, reached, several)
        status = Status.where(several, Status.not_unique, status)
        lost = failed & ~several
        # what proves it takes the place of iterates that grow without bound
        proved, y, multiplier = infeasible(problem, point.x, lost)
        falls, ray = unbounded(problem, point.x)
        apart = KKT(jnp.zeros_like(ray), y, -multiplier)
        along = KKT(ray, jnp.zeros_like(y), jnp.zeros_like(multiplier))
        for found, name, proof in ((proved, Status.infeasible, apart), (falls, Status.unbounded, along)):
            status = Status.where(lost & found, name, status)
            z = jax.tree.map(lambda new, old, found=found: jnp.where(lost & found, new, old), proof, z)
        memory = end.found.memory
        healthy = memory.healthy & end.strict & end.accepted
        memory = eqx.tree_at(lambda f: f.healthy, memory, healthy)
        return Found(z, status, state.steps, memory)

    def _approach(self, problem: QP, state: _State, tolerance: Array) -> _State:
        """Steps until the error is at the tolerance, or none is left, or numbers overflow."""

        def unfinished(state: _State) -> Bool[Array, ""]:
            return (state.error > tolerance) & (state.steps < self.max_steps) & ~state.overflown

        def step(state: _State) -> _State:
            moved = _predictor_corrector(problem, state.point)
            error = _error(problem, moved)
            # a step that overflows ends the search, and the last finite point tells the ray it was on
            finite = jnp.isfinite(error)
            kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, state.point)
            return _State(kept, jnp.where(finite, error, state.error), state.steps + 1, ~finite)

        return while_loop(unfinished, step, state)


def _system(problem: QP, weight: Array) -> tuple[Array, Array]:
    """LU factors of `[[P + G^T W G, A^T], [A, 0]]`, with a ridge at rounding level on the diagonal blocks."""
    P, A, G = problem.P, problem.A, problem.G
    n, e = P.shape[0], A.shape[0]
    top = P + G.T @ (weight[:, None] * G)
    eps = jnp.finfo(P.dtype).eps
    ridge = eps * (1 + jnp.max(jnp.abs(P), initial=0.0)) * 10
    matrix = jnp.block([[top + ridge * jnp.eye(n, dtype=P.dtype), A.T], [A, -ridge * jnp.eye(e, dtype=P.dtype)]])
    return lu_factor(matrix)


def _solve(factors: tuple[Array, Array], top: Array, bottom: Array) -> tuple[Array, Array]:
    solution = lu_solve(factors, jnp.concatenate([top, bottom]))
    return solution[: top.shape[0]], solution[top.shape[0] :]


def _starting_point(problem: QP) -> _Point:
    """The least-squares point: minimise `1/2 x^T P x + q^T x + 1/2 ||G x - h||^2`, then push slacks inside."""
    weight = jnp.ones_like(problem.h)
    factors = _system(problem, weight)
    x, y = _solve(factors, -problem.q + problem.G.T @ problem.h, problem.b)
    slack = problem.h - problem.G @ x

    def inside(v: Array) -> Array:
        shift = jnp.max(-v, initial=0.0)
        return v + jnp.where(shift > 0, 1 + shift, 0) + jnp.where(jnp.min(v, initial=1.0) < 1e-3, 1e-2, 0)

    return _Point(x, y, inside(slack), inside(-slack))


def _residuals(problem: QP, point: _Point) -> tuple[Array, Array, Array]:
    x, y, s, z = point
    stationarity = problem.P @ x + problem.q + problem.A.T @ y + problem.G.T @ z
    return stationarity, problem.A @ x - problem.b, problem.G @ x + s - problem.h


def _error(problem: QP, point: _Point) -> Float[Array, ""]:
    """The largest residual or complementarity product, each relative to the data it is made of."""
    stationarity, equality, inequality = _residuals(problem, point)

    def relative(residual: Array, *data: Array) -> Array:
        scale = 1 + jnp.stack([jnp.max(jnp.abs(d), initial=0.0) for d in data]).max()
        return jnp.max(jnp.abs(residual), initial=0.0) / scale

    x, _, s, z = point
    objective = jnp.abs(problem.q @ x) + jnp.abs(x @ problem.P @ x)
    gap = s @ z / (1 + objective)
    parts = [relative(stationarity, problem.q, problem.P @ x), relative(equality, problem.b, x)]
    return jnp.stack([*parts, relative(inequality, problem.h, x), gap]).max()


def _predictor_corrector(problem: QP, point: _Point) -> _Point:
    """One step of Mehrotra's method: an affine predictor, centring by its success, a second-order corrector."""
    x, y, s, z = point
    m = max(s.shape[0], 1)
    stationarity, equality, inequality = _residuals(problem, point)
    factors = _system(problem, z / s)

    def direction(complementarity: Array) -> _Point:
        # Z ds + S dz = -complementarity, ds = -inequality - G dx
        inner = (complementarity - z * inequality) / s
        dx, dy = _solve(factors, -stationarity + problem.G.T @ inner, -equality)
        ds = -inequality - problem.G @ dx
        return _Point(dx, dy, ds, -(complementarity + z * ds) / s)

    mean = s @ z / m
    predictor = direction(s * z)
    ahead = (s + _length(s, predictor.s) * predictor.s) @ (z + _length(z, predictor.z) * predictor.z) / m
    centring = jnp.where(mean > 0, (ahead / jnp.where(mean > 0, mean, 1)) ** 3, 0)
    d = direction(s * z + predictor.s * predictor.z - centring * mean)
    length = 0.99 * jnp.minimum(_length(s, d.s), _length(z, d.z))
    length = jnp.where(s.shape[0] == 0, jnp.ones_like(length), length)
    return _Point(x + length * d.x, y + length * d.y, s + length * d.s, z + length * d.z)


def _length(v: Array, dv: Array) -> Float[Array, ""]:
    """The largest step in `[0, 1]` that keeps `v + step dv >= 0`."""
    ratios = jnp.where(dv < 0, -v / jnp.where(dv < 0, dv, -1), jnp.inf)
    return jnp.minimum(1, jnp.min(ratios, initial=jnp.inf))
