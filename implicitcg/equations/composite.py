"""Composite problems: a smooth loss plus a penalty, `min_z f(z) + g(z)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int, PyTree

from ..core import AbstractProblem, Certificate, Linearisation
from ..linear import BucketedFactor, FaceInverse, bucketed_factorise
from ..nonsmooth import choose
from ..penalties import AbstractBlocks, AbstractPenalty, AbstractSeparable, AbstractSmooth, Branches
from .face_certificate import certify_face
from .sizes import face_sizes

_Loss = TypeVar("_Loss", bound=AbstractSmooth, covariant=True)
_Penalty = TypeVar("_Penalty", bound=AbstractPenalty, covariant=True)


class Composite(AbstractProblem[Array], Generic[_Loss, _Penalty]):
    """`min_z f(z) + g(z)`, as the equation `F(z) = z - prox_{step g}(z - step grad f(z)) = 0`.

    `step_j` is about `1 / L_j` with `L_j` the curvature of `f` along coordinate `j` (the penalty may ask for smaller or
    for equal ones), so `F` and all distances to kinks are in the units of `z_j`.

    What a solver asks of the two parts it says in its type: `Composite[LeastSquares, AbstractShrinkage]`.
    """

    smooth: _Loss
    penalty: _Penalty

    def step(self) -> Float[Array, " p"]:
        """The steps of the proximal map; constants, since the root does not depend on them."""
        return lax.stop_gradient(self.penalty.steps(self.smooth.curvature()))

    def forward(self, z: Float[Array, " p"]) -> Float[Array, " p"]:
        """`u = z - step grad f(z)`, the argument of the proximal map."""
        return z - self.step() * self.smooth.gradient(z)

    def residual(self, z: Float[Array, " p"]) -> Float[Array, " p"]:
        """`z - prox(u)`."""
        return z - self.penalty.prox(self.forward(z), self.step())

    def objective(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`f(z) + g(z)`."""
        return self.smooth.value(z) + self.penalty.value(z)

    def relative_gap(self, z: Float[Array, " p"]) -> Float[Array, ""] | None:
        """The duality gap at `z`, relative to the objective at zero; NaN where the conjugates are not known.

        With `v = grad f(z)` and the largest `tau <= 1` for which `g*(-tau v)` is finite, the gap is
        `f(z) + f*(tau v) + g(z) + g*(-tau v)`. Coordinates that are not penalised are taken to be optimal.
        """
        if not self.penalty.convex:
            return None
        tau, conjugate = self.penalty.conjugate(-self.smooth.gradient(z))
        zero = jnp.abs(self.objective(jnp.zeros_like(z)))
        gap = jnp.maximum(self.smooth.fenchel(z, tau) + self.penalty.value(z) + conjugate, 0)
        return gap / jnp.where(zero > 0, zero, 1)

    def initial(self) -> Float[Array, " p"]:
        """Zeros."""
        p, dtype = self.smooth.dimension()
        return jnp.zeros(p, dtype)

    def invalid(self) -> Array:
        """Whether the data of the loss or the parameters of the penalty are outside their domain."""
        return self.smooth.invalid() | self.penalty.invalid()

    def present(self, z: Float[Array, " p"]) -> tuple[PyTree, PyTree | None]:
        """The loss knows how its unknown reads: coefficients, perhaps with an intercept, and the dual."""
        return self.smooth.present(z)

    def branches(self, z: Float[Array, " p"]) -> Branches:
        """The branch of every block at `z`, and its distance to the kink (penalties of blocks only)."""
        return _blocks(self.penalty).branches(self.forward(z), self.step())

    def factorise(
        self,
        z: Float[Array, " p"],
        gradient: Float[Array, " p"] | None = None,
        block: Callable[[Int[Array, " c"]], Float[Array, "c c"]] | None = None,
        right: Float[Array, " p"] | None = None,
    ) -> tuple[BucketedFactor, Float[Array, " p"]]:
        """The Hessian factored on the free coordinates, then on those on their kink; the solution for `right`, or 0.

        A solver that knows the gradient of the loss, or `face_block` on those coordinates, may say so.
        """
        penalty = _blocks(self.penalty)
        u = self.forward(z) if gradient is None else z - self.step() * gradient
        branches = penalty.branches(u, self.step())
        free = branches.free > 0
        rim = penalty.spread(branches.on_kink() & ~free)
        block = (lambda index: self.face_block(z, u, index, rim)) if block is None else block
        right = jnp.zeros_like(z) if right is None else right
        return bucketed_factorise(block, penalty.spread(free), rim, self.capacities(), right, self.rank())

    def rank(self) -> int:
        """A bound for how many coordinates the Hessian of `f + g` can be definite on."""
        return self.smooth.rank() if self.penalty.flat else self.smooth.dimension()[0]

    def face_block(
        self,
        z: Float[Array, " p"],
        u: Float[Array, " p"],
        index: Int[Array, " c"],
        tied: Bool[Array, " p"],
        bend: Callable[[Array], Array] | None = None,
        pull: Float[Array, " p"] | None = None,
    ) -> Float[Array, "c c"]:
        """`P (H + D) P + I - P` for a few coordinates, with `H + D` the Hessian of `f + g` on the free branch.

        `P` projects the `tied` coordinates on the directions in which their blocks can enter. `bend(v) = D v` is by
        default that of the tie rule; `pull` is added to its diagonal.
        """
        penalty = _blocks(self.penalty)
        entering = _entering(penalty, z, u, self.step(), tied)

        def by_rule(v: Array) -> Array:
            return jax.jvp(lambda x: penalty.slope(x, u), (entering,), (v,))[1]

        block = self.smooth.hessian_block(z, index)
        block = block + penalty.bend_block(entering, by_rule if bend is None else bend, index)
        block = block if pull is None else block + jnp.diag(pull[index])
        return penalty.compress(block, u, tied, index)

    def capacities(self) -> tuple[int, ...]:
        """The static sizes of face that a factorisation is compiled for."""
        return face_sizes(self.smooth, self.rank())

    def linearise(self, z: Float[Array, " p"], memory: Any = None) -> Linearisation:
        """The element of the penalty's tie rule, on the face of the free blocks.

        Let `q_b` be the weight of the free branch and `P` the projector on what is free: everything in a block off its
        kink, `along` in a block on it, nothing where `q_b = 0`. Off the face the equation is `z - anchor`; on it,
        `grad f(z) + grad g(z) + (1 - q) / (q step) (z - anchor)`, the prox equation divided by `q step`, which makes
        its block `P (H + D + pull) P` symmetric. What the pinned rows add to the others is moved to the right side.
        """
        if not isinstance(self.penalty, AbstractBlocks):
            return super().linearise(z, memory)
        penalty, smooth = self.penalty, self.smooth
        here = _frozen(self)
        at = lax.stop_gradient(z)
        step, u = here.step(), here.forward(at)
        branches = _blocks(here.penalty).branches(u, step)
        on_kink = branches.on_kink()
        # on the kink to rounding is on the kink, for the tie rule and for those who ask which branches there are
        choice = choose(branches.free, jnp.where(on_kink, 0, branches.distance), name=type(penalty).__name__)
        weight = penalty.spread(choice)
        mask = weight > 0
        tied = penalty.spread(on_kink) & mask
        safe = jnp.where(mask, weight, 1)
        pull = jnp.where(mask, (1 - safe) / (safe * step), 0)

        # both blocks of the slope from one linearisation, so that they share every choice made at its kinks
        strengths, structure = eqx.partition(penalty, eqx.is_inexact_array)
        entering = _entering(_blocks(here.penalty), z, u, step, tied)
        _, slope = jax.linearize(lambda s, z: _blocks(eqx.combine(s, structure)).slope(z, u), strengths, entering)
        still = jax.tree.map(jnp.zeros_like, strengths)

        def bend(v: Array) -> Array:
            return slope(still, v)

        def project(v: Array) -> Array:
            return jnp.where(mask, jnp.where(tied, penalty.along(u, v), v), 0)

        def apply(dz: Array) -> Array:
            face = project(dz)
            return project(smooth.hessian_product(z, face) + bend(face) + pull * face) + (dz - face)

        def push(tangent: Any) -> Array:
            filled = jax.tree.map(
                lambda zero, t: zero if t is None else t, still, _inexact(tangent.penalty), is_leaf=_is_none
            )
            pinned = -_tangent(penalty, tangent.penalty, lambda g: _blocks(g).anchor_at(u, step), z)
            moving = _tangent(smooth, tangent.smooth, lambda f: f.gradient(z), z)
            moving = moving + slope(filled, jnp.zeros_like(z)) + pull * pinned
            pinned = pinned - project(pinned)
            if penalty.anchor_moves:
                moving = moving - smooth.hessian_product(z, pinned)
            return project(moving) + pinned

        factor = here.factorise(at)[0] if memory is None else memory
        separable = isinstance(penalty, AbstractSeparable)
        added = jnp.maximum(bend(jnp.ones_like(at)), 0) if separable else jnp.zeros_like(at)
        chosen = jnp.all(choice == branches.free)
        if isinstance(here.penalty, AbstractSeparable) and penalty.bends:
            chosen = chosen & jnp.all(bend(jnp.ones_like(at)) == here.penalty.curvature(at, u))

        def block(index: Array) -> Array:
            return here.face_block(at, u, index, tied, lambda v: lax.stop_gradient(bend(v)), pull)

        return Linearisation(
            apply=apply,
            push=push,
            symmetric=True,
            inverse=FaceInverse(lax.stop_gradient(factor), mask, chosen, block, here.capacities()),
            diagonal=lax.stop_gradient(jnp.where(mask, here.smooth.curvature() + added + pull, 1)),
        )

    def certificate(self, z: Array, residual: float, tolerance: float | None) -> Certificate:
        """Exact on the equicorrelation set: every selection is a principal block of one Hessian."""
        if not isinstance(self.penalty, AbstractBlocks):
            return super().certificate(z, residual, tolerance)
        return certify_face(self, z, residual, tolerance)


def composite(smooth: AbstractSmooth, penalty: AbstractPenalty) -> Composite:
    """The problem `min_z f(z) + g(z)` of any smooth loss and any penalty or set of `icg.penalties`.

    Args:
        smooth: the loss `f`, such as `icg.penalties.LeastSquares(X, y)`, on vectors of dimension `p`.
        penalty: the penalty `g`; a set stands for its indicator.

    Returns:
        A problem for `icg.solve`. With a nonconvex penalty (`MCP`, `SCAD`) the solution is a stationary point: the one
        that the solver finds from `init`, and the derivative and the certificate are those of this point.

    Raises:
        TypeError: if the parts are not a loss and a penalty, in this order.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> loss = icg.penalties.LeastSquares(jnp.eye(2), jnp.array([2.0, 1.0]))
        >>> problem = icg.composite(loss, icg.penalties.MCP(jnp.array(0.4), jnp.array(3.0)))
        >>> jnp.round(icg.solve(problem).value, 4)
        Array([2. , 0.6], dtype=float32)

    Source: Bolte, Pauwels, Silveti-Falls, Differentiating nonsmooth solutions to parametric monotone inclusion
    problems, SIAM J. Optimization 2024.
    """
    if not isinstance(smooth, AbstractSmooth) or not isinstance(penalty, AbstractPenalty):
        raise TypeError(
            "icg.composite takes a smooth loss and a penalty of icg.penalties, in this order, and got "
            f"{type(smooth).__name__} and {type(penalty).__name__}."
        )
    return Composite(smooth, penalty)


def _blocks(penalty: AbstractPenalty) -> AbstractBlocks:
    if not isinstance(penalty, AbstractBlocks):
        raise TypeError(f"{type(penalty).__name__} is not a sum over blocks: it has no branches by block.")
    return penalty


def _entering(penalty: AbstractBlocks, z: Array, u: Array, step: Array, tied: Array) -> Array:
    """`z` with the blocks on their kink exactly at their anchor, where rounding would bend a norm without bound."""
    return jnp.where(tied, penalty.anchor_at(u, step), z)


def _tangent(part: Any, tangent: Any, function: Callable[[Any], Array], like: Array) -> Array:
    """The derivative of `function(part)` along the leaves of `tangent` that are not `None`."""
    parameters, rest = eqx.partition(part, eqx.is_inexact_array)
    tangent = _inexact(tangent)
    moves = jax.tree.map(lambda p, t: None if t is None else p, parameters, tangent, is_leaf=_is_none)
    if not jax.tree.leaves(moves):
        return jnp.zeros_like(like)
    stays = jax.tree.map(lambda p, t: p if t is None else None, parameters, tangent, is_leaf=_is_none)
    return jax.jvp(lambda moves: function(eqx.combine(moves, stays, rest)), (moves,), (tangent,))[1]


def _frozen(problem: Composite) -> Composite:
    return eqx.combine(lax.stop_gradient(eqx.filter(problem, eqx.is_array)), problem)


def _inexact(tree: Any) -> Any:
    return eqx.filter(tree, eqx.is_inexact_array)


def _is_none(leaf: Any) -> bool:
    return leaf is None
