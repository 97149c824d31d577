"""Exact adjoints that iterate: the methods of equilibria, run on the linear system of the derivative.

For a layer `z = f(z)` the system is `(I - J) dz = rhs`, and in reverse mode its transpose; both are equilibria of an
affine map, so what found `z` finds them as well. None returns a number for a system that it could not solve, and
`report` is told the residual of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..base import Status, only_where, while_loop
from ..core import AbstractAdjoint, Linearisation
from ..linear import Splitting
from ..linear.anderson import AndersonMixing
from ..linear.iteration import Damped, Evaluated, iterate, norm, resume
from ..linear.krylov import gmres
from ..linear.peaceman_rachford import default_step, linear_equilibrium
from ..linear.solves import Iterated
from .direct import judged, linear_solve, relative_tolerance

Report = Callable[[Any, Any], None]


def _solved(linearisation: Linearisation, rhs: Any, throw: bool, report: Report | None, forward: Any, back: Any) -> Any:
    """The linear solve by `forward(matvec, b)`, transposed by `back(matvec, b)`, both giving an `Iterated`."""

    def judge(solver: Any) -> Any:
        def solve(matvec: Any, b: Array) -> Array:
            found = solver(matvec, b)
            if report is not None:
                jax.debug.callback(report, found.residual, found.steps)
            return judged(found.x, found.ok, Status.adjoint_failed, throw)

        return solve

    return linear_solve(linearisation, rhs, judge(forward), judge(back))


def _affine(matvec: Callable[[Array], Array], b: Array) -> tuple[Callable[[Array], Evaluated], Array]:
    """`B v - b` with the scale `||b||`, and a start."""
    size = norm(b)
    scale = jnp.where(size > 0, size, 1)

    def evaluate(v: Array) -> Evaluated:
        F = matvec(v) - b
        return Evaluated(F, norm(F), scale, v)

    return evaluate, b


class Anderson(AbstractAdjoint):
    """Anderson acceleration of `v <- v - (B v - b)`, for layers on which the forward iteration works.

    Args:
        tolerance: bounds the relative residual; `None` takes `eps^{3/4}` of the dtype. Above ten times that the
            derivative is refused.
        memory: differences kept.
        max_steps: products with `B` or its transpose at the most.
        report: called with the relative residual and the steps of every system solved, also from compiled programs.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> layer = lambda t: icg.fixed_point(lambda z, t: jnp.abs(z) / 2 + t, t)
        >>> loss = lambda t: icg.solve(layer(t), adjoint=icg.adjoints.Anderson()).value
        >>> round(float(jax.grad(loss)(1.0)), 4)
        2.0
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    memory: int = eqx.field(static=True, default=5)
    max_steps: int = eqx.field(static=True, default=500)
    report: Report | None = eqx.field(static=True, default=None)

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """See `AbstractAdjoint.solve`."""

        def run(matvec: Any, b: Array) -> Iterated:
            tolerance = relative_tolerance(self.tolerance, b)
            evaluate, start = _affine(matvec, b)
            reached = iterate(evaluate, start, AndersonMixing(self.memory), tolerance, self.max_steps)
            return Iterated(reached.point, reached.size <= 10 * tolerance, reached.steps, reached.size)

        return _solved(linearisation, rhs, throw, self.report, run, run)


class Measured(AbstractAdjoint):
    """The cheapest iteration that the measured contraction rate allows: plain, else Anderson's, else GMRES.

    Each takes over where the one before it stopped; in a batch only the systems that need it go on. Arguments are those
    of `Anderson`; `fast` is the rate up to which the plain iteration is kept.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    memory: int = eqx.field(static=True, default=5)
    max_steps: int = eqx.field(static=True, default=500)
    fast: float = eqx.field(static=True, default=0.6)
    report: Report | None = eqx.field(static=True, default=None)

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """See `AbstractAdjoint.solve`."""

        def run(matvec: Any, b: Array) -> Iterated:
            tolerance = relative_tolerance(self.tolerance, b)
            evaluate, start = _affine(matvec, b)
            plain = iterate(
                evaluate,
                start,
                Damped(),
                tolerance,
                self.max_steps,
                worth=lambda steps, rate: (steps < 4) | (rate < self.fast),
            )
            mixed = resume(evaluate, plain, AndersonMixing(self.memory), tolerance, jnp.minimum(self.max_steps, 60))
            size = norm(b)
            scale = jnp.where(size > 0, size, 1)
            finished = mixed.size <= tolerance

            def last_resort() -> Iterated:
                left = jnp.where(finished, 0, b - matvec(mixed.point))  # zero ends it at once
                part = norm(left)
                found = gmres(matvec, left, tolerance * scale / jnp.where(part > 0, part, 1), self.max_steps)
                x = mixed.point + found.x
                residual = norm(matvec(x) - b) / scale
                return Iterated(x, residual <= 10 * tolerance, mixed.steps + found.steps, residual)

            return only_where(~finished, last_resort, Iterated(mixed.point, finished, mixed.steps, mixed.size))

        return _solved(linearisation, rhs, throw, self.report, run, run)


class PeacemanRachford(AbstractAdjoint):
    """Peaceman-Rachford splitting of `B = I - D W`, and of its transpose, for layers with a monotone `W`.

    The resolvent that the solver of the same name made is used again. Arguments are those of `Anderson`.

    Source: Winston, Kolter, Monotone operator equilibrium networks, NeurIPS 2020.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=2000)
    report: Report | None = eqx.field(static=True, default=None)

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """See `AbstractAdjoint.solve`."""
        if linearisation.splitting is None:
            raise ValueError(
                "PeacemanRachford solves the linear systems of layers z = s(W z + b) with an activation that acts "
                "entry by entry (icg.affine_equilibrium, icg.deq.MonotoneDEQ), and this problem is not one. Use "
                "`icg.adjoints.Measured()` or `icg.adjoints.GMRES()`."
            )
        splitting = linearisation.splitting

        def run(transposed: bool) -> Any:
            return lambda matvec, b: self._run(splitting, transposed, matvec, b)

        return _solved(linearisation, rhs, throw, self.report, run(False), run(True))

    def _run(self, splitting: Splitting, transposed: bool, matvec: Any, b: Array) -> Iterated:
        W, slope = splitting.map, splitting.slope
        step = default_step(W) if splitting.step is None else splitting.step
        V = W.resolvent(step) if splitting.resolvent is None else splitting.resolvent
        if transposed:
            W, V = W.transpose(), V.transpose()
        size = norm(b)
        scale = jnp.where(size > 0, size, 1)
        tolerance = relative_tolerance(self.tolerance, b)
        target = tolerance * scale / jnp.maximum(W.spread(), 1)  # the system's residual is W times the splitting's
        rounding = 4 * jnp.finfo(b.dtype).eps * (1 + 1 / step)  # of the splitting, relative to its right side

        def unfinished(state: tuple) -> Array:
            _, _, size, steps, progress = state
            return ~(size <= tolerance * scale) & (steps < self.max_steps) & progress

        def improve(state: tuple) -> tuple:
            x, left, size, steps, _ = state
            # (I - W^T D) v = r is v = W^T w + r with w = D (W^T w + r);
            # (I - D W) x = r is x = w + r with w = D (W w + W r)
            r = left.reshape(slope.shape)
            limit = jnp.maximum(target, rounding * size)
            bias, wanted = r if transposed else W.apply(r), unfinished(state)
            split = linear_equilibrium(V, step, slope, bias, 1.0, limit, self.max_steps - steps, wanted)
            new = x + (split.point if transposed else slope * split.point + r).reshape(b.shape)
            left = b - matvec(new)
            reached = norm(left)
            better = reached < size  # a round starts from what the one before left, whose rounding is that much smaller
            return (jnp.where(better, new, x), left, reached, steps + split.steps, reached < size / 2)

        begin = (jnp.zeros_like(b), b, size, jnp.zeros((), jnp.int32), jnp.asarray(True))
        x, _, left, steps, _ = while_loop(unfinished, improve, begin)
        residual = jnp.where(left < size, left, size) / scale
        return Iterated(x, residual <= 10 * tolerance, steps, residual)
