"""Block pivoting for quadratic programs: Newton's method on the active set."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Bool, Float, Int

from ...base import one_by_one, only_where, while_loop
from ...core import AbstractSolver, Found
from ...equations import QP
from ...linear import Eliminated, KKTFactor, eliminate, gram, principal, regular
from .active_constraints import Rows, candidate_on, independent, row_tolerances
from .interior_point import InteriorPoint
from .thresholds import THRESHOLDS


class Pivoting(AbstractSolver[QP]):
    """Solve on a set of active constraints, exchange all that have the wrong sign, repeat; then polish.

    Without the constraints `x` is affine in the multipliers `z` of the inequalities, so that the program is the linear
    complementarity problem `w = H z + d >= 0`, `z >= 0`, `w^T z = 0`. A round factors `H` on the active rows; as a rule
    it takes less than ten of them. While the number of wrong signs does not fall only the last of them is exchanged,
    which cannot cycle where `H` is definite (Murty). It needs an objective that is strictly convex on `A x = b`; what
    it leaves unsolved goes to `otherwise`. A solution is accepted when its residual is at rounding and the signs are
    right.

    Args:
        max_steps: rounds at the most.
        otherwise: the solver of what is left, an `InteriorPoint`.

    Source: Kunisch, Rendl, An infeasible active set method for convex problems with simple bounds, SIAM J. Optimization
    2003; Judice, Pires, A block principal pivoting algorithm for large-scale strictly monotone linear complementarity
    problems, Computers and Operations Research 1994.
    """

    max_steps: int = eqx.field(static=True, default=50)
    otherwise: InteriorPoint = eqx.field(default_factory=InteriorPoint)

    def run(self, problem: QP, init: Any) -> Found:
        """See `AbstractSolver.run`; `init.v < 0` the guess of its active set."""
        if len(problem.h) > THRESHOLDS.constraints * len(problem.q):
            return self.otherwise.run(problem, init)
        # small ones are searched at once, in rounds for the whole batch; what they leave, and large ones, one by one
        small = len(problem.q) + len(problem.h) <= THRESHOLDS.at_once
        return self._run(problem, init) if small else one_by_one(self._run)(problem, init)

    def _run(self, problem: QP, init: Any) -> Found:
        space = eliminate(problem.P, problem.A)
        settled, factor, positive, steps, rows = _search(problem, space, init.v, self.max_steps)
        end = candidate_on(problem, factor, rows, positive, steps)
        left = ~(end.accepted & end.strict & settled)

        def rest() -> Found:
            return one_by_one(self._otherwise)(problem, init, end.found, left)

        return only_where(left, rest, end.found)

    def _otherwise(self, problem: QP, init: Any, found: Found, wanted: Bool[Array, ""]) -> Found:
        """The other solver's answer if `wanted`: in a batch the rest must not wait for it."""

        def run() -> Found:
            other = self.otherwise.run(problem, init)
            return eqx.tree_at(lambda f: f.iterations, other, other.iterations + found.iterations)

        return lax.cond(wanted, run, lambda: found)


class _State(NamedTuple):
    active: Bool[Array, " m"]  # the next set
    last: Bool[Array, " m"]  # the set of `z` and `C`
    z: Float[Array, " m"]
    C: Float[Array, "m m"]
    steps: Int[Array, ""]
    fewest: Int[Array, ""]
    stale: Int[Array, ""]


def _search(
    problem: QP, space: Eliminated, guess: Float[Array, " m"], max_steps: int
) -> tuple[Bool[Array, ""], KKTFactor, Bool[Array, " m"], Int[Array, ""], Rows]:
    """The set that reproduces itself: its multipliers are positive and the slacks of all others not negative.

    The factor is that of a subset with independent rows; the set itself comes after it.
    """
    G, h = problem.G, problem.h
    m, dtype = len(h), h.dtype
    none = KKTFactor(space, jnp.zeros(m, bool), jnp.eye(m, dtype=dtype), jnp.zeros((), dtype), space.definite)
    x, _, _ = none.solve(G, -problem.q, problem.b, h)
    H, lengths = gram(space, G)
    rows = row_tolerances(problem, x, H, lengths)
    if m == 0:
        return jnp.asarray(True), none, none.active, jnp.ones((), jnp.int32), rows
    d = h - G @ x
    # a ridge at rounding, so that dependent rows share their multiplier
    ridge = 20 * float(jnp.finfo(dtype).eps)

    def unfinished(state: _State) -> Bool[Array, ""]:
        changed = jnp.any(state.active != state.last)
        return (changed | (state.steps == 0)) & (state.steps < max_steps) & (state.stale < THRESHOLDS.patience)

    def step(state: _State) -> _State:
        active = state.active
        C = jnp.linalg.cholesky(principal(H, active, ridge), symmetrize_input=False)
        z = _solve(C, jnp.where(active, -d, 0))
        following = jnp.where(active, z > rows.multiplier, (H @ z + d < -rows.entering) & rows.eligible)
        changes = following != active
        wrong = jnp.sum(changes, dtype=jnp.int32)
        better = wrong < state.fewest
        stale = jnp.where(better, 0, state.stale + 1)
        last = jnp.arange(m) == m - 1 - jnp.argmax(changes[::-1])
        following = jnp.where((stale >= THRESHOLDS.blocks) & changes & ~last, active, following)
        return _State(following, active, z, C, state.steps + 1, jnp.minimum(wrong, state.fewest), stale)

    violated = (d < -rows.entering) & rows.eligible
    start = jnp.where(jnp.any(guess != 0), (guess < 0) & rows.eligible, violated) & space.definite
    zero = jnp.zeros((), jnp.int32)
    many = jnp.asarray(m + 1, zero.dtype)
    state = while_loop(unfinished, step, _State(start, start, jnp.zeros_like(d), H, zero, many, zero))
    settled = jnp.all(state.active == state.last)
    active, C = independent(H, state.last, state.z, state.C, settled)
    healthy = space.definite & regular(C, jnp.where(active, jnp.diagonal(H), 1))
    return settled, KKTFactor(space, active, C, none.added, healthy), state.last & settled, state.steps, rows


def _solve(C: Float[Array, "m m"], rhs: Float[Array, " m"]) -> Float[Array, " m"]:
    half = solve_triangular(C, rhs, lower=True)
    return solve_triangular(C, half, lower=True, trans=1)
