"""The inverse of the linearised equation of a layer, by the splitting that found the layer's equilibrium."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from ..base import while_loop
from .inverse import AbstractInverse, Facts
from .iteration import two_norm
from .monotone import AbstractSquareMap
from .peaceman_rachford import default_step, linear_equilibrium
from .solves import Iterated, Matvec

Maps = tuple[Array, AbstractSquareMap, AbstractSquareMap]  # a step, `W`, and the resolvent of `W` at this step


class SplittingInverse(AbstractInverse):
    """`B^{-1}` for `B = I - diag(slope) W` of a layer `z = s(W z + b)`, without a matrix, by Peaceman-Rachford.

    `resolvent`, where the solver left one, is that of `W` at `step`. Unlike the other inverses it iterates, so who asks
    says how far: `iterate`.
    """

    map: AbstractSquareMap
    slope: Array
    resolvent: AbstractSquareMap | None = None
    step: Array | None = None

    def facts(self) -> Facts:
        return Facts(applies=True)

    def solve(self, rhs: Float[Array, " d"], *, transposed: bool) -> tuple[Float[Array, " d"], Bool[Array, ""]]:
        """See `AbstractInverse.solve`; to `eps^{3/4}`, relatively."""
        W, slope = self.map.transpose() if transposed else self.map, self.slope

        def matvec(v: Array) -> Array:
            v = v.reshape(slope.shape)
            return (v - (W.apply_precisely(slope * v) if transposed else slope * W.apply_precisely(v))).reshape(-1)

        found = self.iterate(matvec, rhs, float(jnp.finfo(rhs.dtype).eps) ** 0.75, 2000, transposed=transposed)
        return found.x, found.ok

    def iterate(
        self, matvec: Matvec, rhs: Float[Array, " d"], tolerance: float, max_steps: int, *, transposed: bool
    ) -> Iterated:
        """The solution of `B x = rhs`, or of the transposed system, whose products `matvec` has.

        Each round of the splitting starts from what the one before left, whose rounding is that much smaller.
        """
        maps = step, W, _ = self._maps(transposed)
        size = two_norm(rhs)
        scale = jnp.where(size > 0, size, 1)
        target = tolerance * scale / jnp.maximum(W.spread(), 1)  # the system's residual is W times the splitting's
        rounding = 4 * jnp.finfo(rhs.dtype).eps * (1 + 1 / step)  # of the splitting, relative to its right side

        def unfinished(state: tuple) -> Array:
            _, _, size, steps, progress = state
            return ~(size <= tolerance * scale) & (steps < max_steps) & progress

        def improve(state: tuple) -> tuple:
            x, left, size, steps, _ = state
            limit, wanted = jnp.maximum(target, rounding * size), unfinished(state)
            change, taken = self._round(maps, left, limit, max_steps - steps, wanted, transposed=transposed)
            new = x + change
            left = rhs - matvec(new)
            reached = two_norm(left)
            better = reached < size
            return (jnp.where(better, new, x), left, reached, steps + taken, reached < size / 2)

        begin = (jnp.zeros_like(rhs), rhs, size, jnp.zeros((), jnp.int32), jnp.asarray(True))
        x, _, left, steps, _ = while_loop(unfinished, improve, begin)
        residual = jnp.where(left < size, left, size) / scale
        return Iterated(x, residual <= 10 * tolerance, steps, residual)

    def roughly(self, rhs: Float[Array, " d"], tolerance: float, max_steps: int) -> Float[Array, " d"]:
        """One round for `B x = rhs`, judged by nobody: a direction for who looks at the residual of an equation."""
        size = two_norm(rhs)
        limit = tolerance * jnp.where(size > 0, size, 1)
        return self._round(self._maps(False), rhs, limit, max_steps, True, transposed=False)[0]

    def _maps(self, transposed: bool) -> Maps:
        step = default_step(self.map) if self.step is None else self.step
        V = self.map.resolvent(step) if self.resolvent is None else self.resolvent
        return (step, self.map.transpose(), V.transpose()) if transposed else (step, self.map, V)

    def _round(
        self, maps: Maps, left: Array, limit: Array, max_steps: int | Array, wanted: Array | bool, *, transposed: bool
    ) -> tuple[Array, Array]:
        """A correction for what is `left` of the right side, by one run of the splitting, and its steps."""
        # (I - W^T D) v = r is v = W^T w + r with w = D (W^T w + r);
        # (I - D W) x = r is x = w + r with w = D (W w + W r); what is kept is the argument of D
        step, W, V = maps
        r = left.reshape(self.slope.shape)
        bias = r if transposed else W.apply(r)
        split = linear_equilibrium(V, step, self.slope, bias, 1.0, limit, max_steps, wanted)
        change = split.point if transposed else self.slope * split.point + r
        return change.reshape(left.shape), split.steps
