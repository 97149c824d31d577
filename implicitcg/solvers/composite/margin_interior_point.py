"""An interior point method for the duals of margin problems, with systems of order `p`, and an exact end."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Bool, Float, Int

from ...base import Status, while_loop
from ...core import AbstractSolver, Found
from ...equations import Composite
from ...linear import BucketedFactor
from ...penalties import BoxedL1, DualQuadratic
from ..lasso.quadratic_loss import gap_tolerance
from .thresholds import THRESHOLDS

Margin: TypeAlias = Composite[DualQuadratic, BoxedL1]


class _Sides(NamedTuple):
    """Both sides of every sample, above and below: `a` in `[0, cost]` and `excess - slack = sign m - alpha`."""

    rows: Float[Array, "n p"]
    target: Float[Array, " n"]
    sign: Float[Array, "2 n"]
    cost: Float[Array, "2 n"]
    offset: Float[Array, "2 n"]

    @classmethod
    def of(cls, problem: Margin) -> _Sides:
        """A side without room is replaced by one that touches nothing, with a solution away from kinks."""
        smooth, penalty = problem.smooth, problem.penalty
        n = smooth.linear.shape[0]
        cost = jnp.stack([jnp.broadcast_to(bound, (n,)) for bound in (penalty.upper, -penalty.lower)])
        there = cost > 0
        size = jnp.maximum(jnp.max(jnp.abs(smooth.linear), initial=0.0), jnp.finfo(cost.dtype).tiny)
        alpha = jnp.broadcast_to(penalty.alpha, (n,))
        sign = jnp.where(there, jnp.asarray([[1.0], [-1.0]], cost.dtype), 0)
        largest = jnp.max(cost, initial=0.0)
        cost = jnp.where(there, cost, jnp.where(largest > 0, largest, 1))
        offset = jnp.where(there, alpha[None, :], size)
        return cls(smooth.sign[:, None] * smooth.X, smooth.linear, sign, cost, offset)

    def weights(self, a: Float[Array, "2 n"]) -> Float[Array, " p"]:
        """`A^T z` with `z = sum sign a`."""
        return jnp.sum(self.sign * a, axis=0) @ self.rows

    def margins(self, w: Float[Array, " p"]) -> Float[Array, "2 n"]:
        """`sign (c - A w) - alpha`."""
        return self.sign * (self.target - self.rows @ w)[None, :] - self.offset


class _Point(NamedTuple):
    """Multipliers `a` and their room `cost - a`; the slack and the excess of the tube that go with them; weights."""

    a: Float[Array, "2 n"]
    room: Float[Array, "2 n"]
    slack: Float[Array, "2 n"]
    excess: Float[Array, "2 n"]
    w: Float[Array, " p"]

    def gap(self) -> Float[Array, ""]:
        """The duality gap, where the weights and the margins agree with the multipliers."""
        return jnp.sum(self.a * self.slack) + jnp.sum(self.room * self.excess)


class _State(NamedTuple):
    point: _Point
    gap: Float[Array, ""]
    z: Float[Array, " n"]
    change: Float[Array, ""]
    steps: Int[Array, ""]
    idle: Int[Array, ""]


class _Face(NamedTuple):
    """Newton steps on faces: the point at hand, the best so far, and the factor made last."""

    z: Float[Array, " n"]
    best: Float[Array, " n"]
    change: Float[Array, ""]
    memory: BucketedFactor
    idle: Int[Array, ""]
    last: Bool[Array, ""]
    over: Bool[Array, ""]


class MarginInteriorPoint(AbstractSolver[Margin]):
    """Mehrotra's predictor-corrector method for support vector machines, ended by Newton on the face found.

    The dual `min_z 1/2 ||A^T z||^2 - c^T z + sum_i alpha_i |z_i|` over `lower <= z <= upper` has one multiplier per
    sample, and its Hessian the rank of `A (n, p)`. A step solves one system of order `p`,

        (I + A^T diag(theta) A) dw = r,

    and some twenty steps see every sample on its side of the tube, however many there are. Then Newton steps solve for
    the free multipliers, at most `p` of them, and the factor of the last one is handed to the derivative. It is made
    for more samples than features and makes its own start.

    Args:
        tolerance: reach `||z - prox(z - step grad f(z))||_inf <= tolerance (1 + ||z||_inf)`; `None` means `1e-10` in
            float64 and `50 eps` (6e-6) in float32. It goes on to rounding.
        max_steps: interior point steps at the most.

    Source: Mehrotra, On the implementation of a primal-dual interior point method, 1992; Ferris, Munson, Interior-point
        methods for massive support vector machines, 2002, for the system of order `p`.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=80)

    def refuses(self, problem: Composite) -> str | None:
        """Anything but the dual of a margin problem."""
        if isinstance(problem.smooth, DualQuadratic) and isinstance(problem.penalty, BoxedL1):
            return None
        return (
            "it solves the duals of margin problems, icg.svm and icg.svr; this problem is "
            f"{type(problem.smooth).__name__} plus {type(problem.penalty).__name__}"
        )

    def run(self, problem: Margin, init: Float[Array, " n"]) -> Found:
        near = self._approach(problem)
        end = _exact(problem, near.z, near.change)
        z = jnp.clip(end.best, problem.penalty.lower, problem.penalty.upper)  # rounding, where it converged
        change = _size(problem.residual(z))
        close = change <= gap_tolerance(self.tolerance, z.dtype) * (1 + _size(z))
        status = Status.where(close, Status.converged, Status.not_converged)
        status = Status.where(jnp.isfinite(change), status, Status.diverged)
        return Found(z, status, near.steps, end.memory, problem.relative_gap(z))

    def _start(self, sides: _Sides) -> _Point:
        """All multipliers half way, and the tube lifted off the margins by their mean."""
        half = sides.cost / 2
        w = sides.weights(half)
        margins = sides.margins(w)
        lift = jnp.mean(jnp.abs(margins))
        return _Point(half, half, jnp.maximum(-margins, 0) + lift, jnp.maximum(margins, 0) + lift, w)

    def _approach(self, problem: Margin) -> _State:
        """Steps as long as they come nearer; the multipliers are those of the best."""
        sides = _Sides.of(problem)
        tolerance = THRESHOLDS.near * gap_tolerance(self.tolerance, sides.cost.dtype)
        eps = float(jnp.finfo(sides.cost.dtype).eps)

        def measured(point: _Point) -> tuple[Array, Array]:
            z = jnp.sum(sides.sign * point.a, axis=0)
            return z, _size(problem.residual(z))

        point, count = self._start(sides), jnp.zeros((), jnp.int32)
        first = point.gap()

        def unfinished(state: _State) -> Bool[Array, ""]:
            objective = jnp.sum(jnp.square(state.point.w)) / 2 + jnp.sum(sides.cost * state.point.excess)
            exact = (state.change <= tolerance * (1 + _size(state.z))) & (state.gap <= eps * objective)
            closed = state.gap <= eps**2 * first
            return ~exact & ~closed & (state.steps < self.max_steps) & (state.idle < THRESHOLDS.stalled)

        def step(state: _State) -> _State:
            point = _predictor_corrector(sides, state.point)
            gap, (z, change) = point.gap(), measured(point)
            nearer = (gap < 0.9 * state.gap) | (change < 0.5 * state.change)
            better = change < state.change
            z, change = jnp.where(better, z, state.z), jnp.where(better, change, state.change)
            return _State(point, gap, z, change, state.steps + 1, jnp.where(nearer, 0, state.idle + 1))

        return while_loop(unfinished, step, _State(point, first, *measured(point), count, count))


def _exact(problem: Margin, start: Float[Array, " n"], change: Float[Array, ""]) -> _Face:
    """Newton steps on the face at hand, which a step may change; the best point, and the factor of its face."""
    penalty, step = problem.penalty, problem.step()
    eps = float(jnp.finfo(start.dtype).eps)

    def newton(z: Array) -> tuple[BucketedFactor, Array]:
        u = z - step * problem.smooth.gradient(z)
        free = penalty.branches(u, step).free > 0
        pinned = jnp.where(free, z, penalty.prox(u, step))
        slope = problem.smooth.gradient(pinned) + penalty.slope(z, u)
        memory, move = problem.factorise(z, right=jnp.where(free, slope, 0))
        return memory, jnp.where(free & memory.healthy, pinned - move, pinned)

    def round_(face: _Face) -> _Face:
        memory, moved = newton(face.z)
        there = _size(problem.residual(moved))
        better = (there < face.change) & ~face.last  # whose round only makes the factor, at the best point
        idle = jnp.where(there < 0.5 * face.change, 0, face.idle + 1)
        best, change = jnp.where(better, moved, face.best), jnp.where(better, there, face.change)
        last = (change <= 20 * eps * _size(best)) | (idle >= THRESHOLDS.lost) | face.last
        return _Face(jnp.where(last, best, moved), best, change, memory, idle, last, face.last)

    shapes = jax.eval_shape(lambda z: newton(z)[0], start)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    no, count = jnp.zeros((), bool), jnp.zeros((), jnp.int32)
    return while_loop(lambda face: ~face.over, round_, _Face(start, start, change, empty, count, no, no))


def _size(v: Array) -> Float[Array, ""]:
    return jnp.max(jnp.abs(v), initial=0.0)


def _predictor_corrector(sides: _Sides, point: _Point) -> _Point:
    """An affine predictor, centring by its success, and a corrector of second order."""
    a, room, slack, excess, w = point
    defect = sides.margins(w) - (excess - slack)
    lacking = sides.weights(a) - w
    theta = 1 / (excess / room + slack / a)
    rows, weight = sides.rows, jnp.sum(jnp.square(sides.sign) * theta, axis=0)
    factor = cho_factor(jnp.eye(rows.shape[1], dtype=rows.dtype) + rows.T @ (weight[:, None] * rows))

    def direction(low: Array, high: Array) -> _Point:
        # slack da + a dslack = low, excess droom + room dexcess = high, dw = A^T dz + lacking, and the margins agree
        pull = theta * (defect + low / a - high / room)
        dw = cho_solve(factor, sides.weights(pull) + lacking)
        da = pull - theta * sides.sign * (rows @ dw)[None, :]
        return _Point(da, -da, (low - slack * da) / a, (high + excess * da) / room, dw)

    pairs = 2 * a.size
    predictor = direction(-a * slack, -room * excess)
    ahead = _moved(point, predictor, _length(point, predictor))
    mean, shrunk = point.gap() / pairs, ahead.gap() / pairs
    aim = mean * (shrunk / mean) ** 3
    bent = predictor.a * predictor.slack, predictor.room * predictor.excess
    d = direction(aim - a * slack - bent[0], aim - room * excess - bent[1])
    return _moved(point, d, THRESHOLDS.inside * _length(point, d))


def _moved(point: _Point, d: _Point, length: Array) -> _Point:
    return jax.tree.map(lambda v, dv: v + length * dv, point, d)


def _length(point: _Point, d: _Point) -> Float[Array, ""]:
    """The longest step, at most 1 / THRESHOLDS.inside, that leaves nothing negative."""
    v, dv = jnp.stack(point[:-1]), jnp.stack(d[:-1])
    return jnp.minimum(1 / THRESHOLDS.inside, jnp.min(jnp.where(dv < 0, -v / jnp.where(dv < 0, dv, -1), jnp.inf)))
