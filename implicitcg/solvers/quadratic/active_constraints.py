"""What solvers of quadratic programs share at the end: independent active constraints, the polish, its acceptance."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from ...base import Status, kink_tolerance, while_loop
from ...core import Found
from ...equations import QP
from ...equations.quadratic_program import KKT
from ...linear import KKTFactor, eliminate, gram, negligible, principal, regular
from .thresholds import THRESHOLDS


class Rows(NamedTuple):
    """What counts as zero for each inequality, and whether it can be active at all.

    `multiplier` bounds a multiplier, `entering` a violation: that which removing such a multiplier may cause, so that a
    constraint on its kink to rounding leaves the active set and does not come back. A constraint is not `eligible`
    where the equality constraints leave it no freedom.
    """

    multiplier: Float[Array, " m"]
    entering: Float[Array, " m"]
    eligible: Bool[Array, " m"]


def row_tolerances(problem: QP, x: Array, H: Float[Array, "m m"], lengths: Float[Array, " m"]) -> Rows:
    """`eps^{3/4}` of the terms that each slack and each multiplier is made of.

    `H` and `lengths` are those of `gram`; `H_ii` is how far the slack moves with the multiplier.
    """
    diagonal = jnp.diagonal(H)
    eligible = diagonal > negligible(len(x), x.dtype) * lengths
    size = jnp.max(jnp.abs(problem.G), axis=1, initial=0.0)
    rate = jnp.where(eligible, diagonal, 1)
    slack = jnp.abs(problem.h) + size * jnp.sum(jnp.abs(x))
    multiplier = slack / rate + jnp.max(jnp.abs(problem.q)) / jnp.where(size > 0, size, 1)
    multiplier = kink_tolerance(x.dtype) * multiplier
    return Rows(multiplier, 2 * rate * multiplier, eligible)


def independent(
    H: Float[Array, "m m"],
    active: Bool[Array, " m"],
    z: Float[Array, " m"],
    C: Float[Array, "m m"],
    wanted: Bool[Array, ""],
) -> tuple[Bool[Array, " m"], Float[Array, "m m"]]:
    """A subset of `active` with independent rows that carries the same force with multipliers still nonnegative.

    Caratheodory's reduction: along a null vector of `H` on the active rows the multipliers `z` change and their force
    does not; go along it until the first of them is zero, and drop that row. `C` is the factor on `active`; it is
    replaced where rows were dropped.
    """
    m, eps = len(z), negligible(len(z), z.dtype)
    if m == 0:
        return active, C
    diagonal = jnp.diagonal(H)
    pivots = jnp.square(jnp.diagonal(C)) / jnp.where(active & (diagonal > 0), diagonal, 1)
    # the ridge under `C` lifts the pivots of dependent rows; the eigenvalues below have none, and decide
    dependent = wanted & ~jnp.all(pivots > THRESHOLDS.doubtful * float(jnp.finfo(z.dtype).eps))

    def unfinished(state: tuple) -> Bool[Array, ""]:
        return state[3] & jnp.any(state[0])

    def drop(state: tuple) -> tuple:
        active, z, C, _ = state
        scale = jnp.where(active & (diagonal > 0), 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1)), 1)
        values, vectors = jnp.linalg.eigh(principal(H, active) * scale[:, None] * scale[None, :])
        more = values[0] <= eps
        v = jnp.where(active, vectors[:, 0] * scale, 0)
        rates = jnp.abs(v) / jnp.maximum(z, jnp.finfo(z.dtype).tiny)
        first = jnp.argmax(rates)
        t = z[first] / jnp.where(v[first] == 0, 1, v[first])
        one = jnp.arange(m) == first
        kept = jnp.where(more, active & ~one, active)
        z = jnp.where(more, jnp.where(kept, jnp.maximum(z - t * v, 0), 0), z)
        C = jnp.linalg.cholesky(principal(H, kept), symmetrize_input=False)
        return kept, z, C, more

    active, _, C, _ = while_loop(unfinished, drop, (active, z, C, dependent))
    return active, C


class Candidate(NamedTuple):
    """A candidate solution on a set of active constraints, whether it is one, and the set that its signs suggest.

    `strict` says that every active constraint has a positive multiplier, or one of several: the derivative of the tie
    rule belongs to it.
    """

    found: Found
    accepted: Bool[Array, ""]
    strict: Bool[Array, ""]
    following: Bool[Array, " m"]


def candidate_on(
    problem: QP, factor: KKTFactor, rows: Rows, positive: Bool[Array, " m"], steps: Int[Array, ""]
) -> Candidate:
    """The solution on the active set of `factor`, to rounding; residual and signs are judged.

    `positive` are constraints known to have a positive multiplier. Where multipliers are not unique it may be zero in
    the one returned; the solution stays on such a constraint when the objective changes, so it stays active.
    """
    P, q, A, b, G, h = problem.P, problem.q, problem.A, problem.b, problem.G, problem.h
    x, y, z = factor.refined(P, A, G, (-q, b, h))
    z = jnp.where(factor.active, z, 0)
    slack = h - G @ x
    terms = (q, P @ x, y @ A, z @ G)
    stationarity = relative(terms[0] + terms[1] + terms[2] + terms[3], *terms)
    equality = relative(A @ x - b, b, A * x[None, :])
    held = jnp.max(jnp.where(factor.active, jnp.abs(slack) / rows.entering, 0), initial=0.0) <= 1
    signs = jnp.all(jnp.where(factor.active, z >= -rows.multiplier, slack >= -2 * rows.entering))
    accepted = (jnp.maximum(stationarity, equality) <= kink_tolerance(x.dtype)) & held & signs & factor.space.definite
    strong = z > rows.multiplier
    kept = strong | positive
    following = jnp.where(factor.active, kept, (slack < -rows.entering) & rows.eligible)
    # multipliers and slacks within rounding of zero are zero: the constraint is on its kink
    slack = jnp.where(slack <= rows.entering, 0, slack)
    v = jnp.where(factor.active, jnp.where(strong, -z, 0), slack)
    status = Status.where(accepted, Status.converged, Status.not_converged)
    found = Found(KKT(x, y, v), status, steps, factor)
    return Candidate(found, accepted, jnp.all(kept | ~factor.active), following)


def exchanged(problem: QP, x: Array, y: Array, s: Array, z: Array, steps: Int[Array, ""]) -> Candidate:
    """The polish on the active set of a point near the solution, exchanging constraints whose signs come out wrong.

    `K = P + t G_S^T G_S + ...` is definite wherever the solution is unique, for linear programs too. Constraints with
    multiplier zero leave the active set, by the tie rule; if the solution is lost without them the point with them is
    returned, which is not `strict`.
    """
    del y
    P, A, G = problem.P, problem.A, problem.G
    m, eps = len(z), float(jnp.finfo(x.dtype).eps)
    interior_s, interior_z = s, z
    size, square = jnp.trace(P), jnp.sum(G * G)
    added = jnp.where((size > 0) & (square > 0), size, 1) / jnp.where(square > 0, square, 1)

    def on(active: Array, z: Array) -> Candidate:
        held = jnp.where(active[:, None], G, 0)
        space = eliminate(P + added * (held.T @ held), A)
        H, lengths = gram(space, G)
        C = jnp.linalg.cholesky(principal(H, active, 20 * eps), symmetrize_input=False) if m else H
        active, C = independent(H, active, z, C, space.definite)
        healthy = space.definite & regular(C, jnp.where(active, jnp.diagonal(H), 1))
        rows = row_tolerances(problem, x, H, lengths)
        # in the middle of all solutions: the multiplier is far larger than the slack, each in units of its rounding
        positive = interior_z * rows.entering > THRESHOLDS.clear * interior_s * rows.multiplier
        return candidate_on(problem, KKTFactor(space, active, C, added, healthy), rows, positive, steps)

    def unfinished(state: tuple[Candidate, Array, Array, Array]) -> Bool[Array, ""]:
        end, following, _, rounds = state
        changed = jnp.any(following != end.found.memory.active)
        return (rounds == 0) | (~(end.accepted & end.strict) & (rounds < THRESHOLDS.exchanges) & changed)

    def exchange(state: tuple[Candidate, Array, Array, Array]) -> tuple[Candidate, Array, Array, Array]:
        end, following, z, rounds = state
        new = on(following, z)
        kept = end.accepted & ~new.accepted
        chosen = jax.tree.map(lambda a, b: jnp.where(kept, a, b), end, new)
        following = jnp.where(kept, end.found.memory.active, new.following)
        return chosen, following, jnp.maximum(-chosen.found.z.v, 0), rounds + 1

    start = (blank(jax.eval_shape(on, z > s, z)), z > s, z, jnp.zeros((), jnp.int32))
    return while_loop(unfinished, exchange, start)[0]


def blank(shapes: Any) -> Any:
    """Zeros and `False` of these shapes: what a loop carries before its first round."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def relative(residual: Array, *terms: Array) -> Float[Array, ""]:
    """The largest entry of a residual, relative to the largest of the terms it is the sum of."""
    sizes = jnp.stack([jnp.max(jnp.abs(term), initial=0.0) for term in terms])
    size = jnp.max(sizes)
    return jnp.max(jnp.abs(residual), initial=0.0) / jnp.where(size > 0, size, 1)
