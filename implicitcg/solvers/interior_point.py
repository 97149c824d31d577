"""A primal-dual interior point method for dense quadratic programs, ended by Newton's method on the active set."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import lu_factor, lu_solve
from jaxtyping import Bool, Float, Int

from ..base import Status, while_loop
from ..core import AbstractSolver, Found
from .newton import Newton


class _Point(NamedTuple):
    x: Float[Array, " n"]
    y: Float[Array, " e"]
    s: Float[Array, " m"]
    z: Float[Array, " m"]


class _State(NamedTuple):
    point: _Point
    error: Float[Array, ""]
    steps: Int[Array, ""]


class InteriorPoint(AbstractSolver):
    """Mehrotra's predictor-corrector method, then semismooth Newton on the reduced optimality equation.

    The interior point phase brings the active set into view; on the right active set the reduced equation is affine, so
    that one Newton step (the polish) solves it to rounding. Infeasible and unbounded programs are told by the rays
    along which the iterates grow.

    Args:
        tolerance: relative size of the residuals and of the complementarity at which the polish takes over; `None`
            means `eps^{1/2}`.
        max_steps: interior point steps at the most.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=60)

    def run(self, problem: Any, init: Any) -> Found:
        """See `AbstractSolver.run`; `problem` is a `QP`."""
        self.require(problem, *"PqAbGh")
        dtype = problem.q.dtype
        tolerance = float(jnp.finfo(dtype).eps) ** 0.5 if self.tolerance is None else self.tolerance
        point = _starting_point(problem)
        state = _State(point, _error(problem, point), jnp.zeros((), jnp.int32))

        def unfinished(state: _State) -> Bool[Array, ""]:
            return (state.error > tolerance) & (state.steps < self.max_steps) & jnp.isfinite(state.error)

        def step(state: _State) -> _State:
            moved = _predictor_corrector(problem, state.point)
            error = _error(problem, moved)
            # a step that overflows ends the search, and the last finite point tells the ray it was on
            kept = jax.tree.map(lambda new, old: jnp.where(jnp.isfinite(error), new, old), moved, state.point)
            return _State(kept, error, state.steps + 1)

        state = while_loop(unfinished, step, state)
        point = state.point
        reached = problem.unknown(point.x, point.y, point.s - point.z)
        polished = Newton(max_steps=20).run(problem, reached)
        status = polished.status
        # judged by the interior point phase: far out on a ray, a residual is small beside the iterate and means nothing
        failed = (status != Status.converged) | ~(state.error <= 1e3 * tolerance)
        status = Status.where(failed & (status == Status.converged), Status.not_converged, status)
        status = Status.where(failed & _infeasible(problem, point.x, failed), Status.infeasible, status)
        status = Status.where(failed & _unbounded(problem, point), Status.unbounded, status)
        found = status == Status.converged
        status = Status.where(found & ~_unique(problem, polished.z, found), Status.not_unique, status)
        return Found(polished.z, status, state.steps + polished.iterations)


def _system(problem: Any, weight: Array) -> tuple[Array, Array]:
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


def _starting_point(problem: Any) -> _Point:
    """The least-squares point: minimise `1/2 x^T P x + q^T x + 1/2 ||G x - h||^2`, then push slacks inside."""
    weight = jnp.ones_like(problem.h)
    factors = _system(problem, weight)
    x, y = _solve(factors, -problem.q + problem.G.T @ problem.h, problem.b)
    slack = problem.h - problem.G @ x

    def inside(v: Array) -> Array:
        shift = jnp.max(-v, initial=0.0)
        return v + jnp.where(shift > 0, 1 + shift, 0) + jnp.where(jnp.min(v, initial=1.0) < 1e-3, 1e-2, 0)

    return _Point(x, y, inside(slack), inside(-slack))


def _residuals(problem: Any, point: _Point) -> tuple[Array, Array, Array]:
    x, y, s, z = point
    stationarity = problem.P @ x + problem.q + problem.A.T @ y + problem.G.T @ z
    return stationarity, problem.A @ x - problem.b, problem.G @ x + s - problem.h


def _error(problem: Any, point: _Point) -> Float[Array, ""]:
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


def _predictor_corrector(problem: Any, point: _Point) -> _Point:
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


def _infeasible(problem: Any, x: Array, wanted: Array) -> Bool[Array, ""]:
    """Whether the least violation `min_x ||A x - b||^2 + ||max(G x - h, 0)||^2` is positive; looked for if `wanted`.

    At the minimum the violations `y = A x - b`, `z = max(G x - h, 0)` satisfy `A^T y + G^T z = 0` and
    `b^T y + h^T z = -||(y, z)||^2`: by Farkas' lemma they prove infeasibility. Found by semismooth Newton from `x`.
    """
    A, G = problem.A, problem.G
    rounding = float(jnp.finfo(x.dtype).eps)

    def violations(x: Array) -> Array:
        return jnp.concatenate([A @ x - problem.b, jnp.maximum(G @ x - problem.h, 0)])

    def gradient(x: Array) -> Array:
        v = violations(x)
        return A.T @ v[: A.shape[0]] + G.T @ v[A.shape[0] :]

    def proved(x: Array) -> Array:
        return jnp.max(jnp.abs(gradient(x)), initial=0.0) <= rounding**0.5 * jnp.linalg.norm(violations(x))

    def step(state: tuple[Array, Array]) -> tuple[Array, Array]:
        x, steps = state
        violated = jnp.where((G @ x > problem.h)[:, None], G, 0)
        matrix = A.T @ A + violated.T @ violated
        ridge = 1e3 * rounding * (1 + jnp.trace(matrix)) * jnp.eye(x.shape[0], dtype=x.dtype)
        d = -jnp.linalg.solve(matrix + ridge, gradient(x))
        lengths = 0.5 ** jnp.arange(20, dtype=x.dtype)
        sizes = jax.vmap(lambda t: jnp.linalg.norm(violations(x + t * d)))(lengths)
        return x + lengths[jnp.argmin(sizes)] * d, steps + 1

    def unfinished(state: tuple[Array, Array]) -> Array:
        return wanted & ~proved(state[0]) & (state[1] < 100)

    x, _ = while_loop(unfinished, step, (x, jnp.zeros((), jnp.int32)))
    data = jnp.concatenate([problem.b, problem.h, jnp.ones(1, x.dtype)])
    return proved(x) & (jnp.linalg.norm(violations(x)) > rounding**0.5 * jnp.max(jnp.abs(data)))


def _unbounded(problem: Any, point: _Point) -> Bool[Array, ""]:
    """A ray with `P x = 0`, `A x = 0`, `G x <= 0`, `q^T x < 0`, to `eps^{1/3}` of its size."""
    size = jnp.linalg.norm(point.x)
    x = point.x / size
    slope = problem.q @ x
    bend = jnp.max(jnp.abs(jnp.concatenate([problem.P @ x, problem.A @ x, jnp.maximum(problem.G @ x, 0)])), initial=0.0)
    return (slope < 0) & (bend <= _loose(size) * jnp.abs(slope))


def _unique(problem: Any, z: Any, wanted: Array) -> Bool[Array, ""]:
    """Whether no direction is flat for the objective and the active constraints: `P + A^T A + G_S^T G_S > 0`.

    Necessary for uniqueness, with weakly active constraints counted as active; judged on the scaled matrix, which is
    the identity unless `wanted`.
    """
    x, _, v = z
    tolerance = float(jnp.finfo(x.dtype).eps) ** 0.75
    active = v <= tolerance * (1 + jnp.abs(problem.h))
    G = jnp.where(active[:, None], problem.G, 0)
    matrix = jnp.where(wanted, problem.P + problem.A.T @ problem.A + G.T @ G, jnp.eye(x.shape[0], dtype=x.dtype))
    diagonal = jnp.diagonal(matrix)
    scale = 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1))
    scaled = matrix * scale[:, None] * scale[None, :]
    smallest = jnp.linalg.eigvalsh(scaled, symmetrize_input=False)[0]
    return smallest > 10 * x.shape[0] * jnp.finfo(x.dtype).eps


def _loose(like: Array) -> float:
    return float(jnp.finfo(like.dtype).eps) ** (1 / 3)
