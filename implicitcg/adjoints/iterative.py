"""Exact adjoints that iterate, with products alone: Krylov's methods, and those of equilibria.

For a layer `z = f(z)` the system is `(I - J) dz = rhs`, and in reverse mode its transpose; both are equilibria of an
affine map, so what found `z` finds them as well. None returns a number for a system that it could not solve, and
`report` is told the residual of each.
"""

# no `from __future__ import annotations`: Equinox must see `AbstractVar` and not a string, or it makes it a field
import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..base import only_where
from ..core import Linearisation
from ..linear import SplittingInverse
from ..linear.anderson import AndersonMixing
from ..linear.iteration import Damped, Evaluated, resume, run_iteration, two_norm
from ..linear.krylov import gmres
from ..linear.solves import Iterated, Matvec, conjugate_gradient
from .contract import AbstractExact, Solved, Way

Report = Callable[[Any, Any], None]


class AbstractIterative(AbstractExact):
    """An adjoint that iterates until the relative residual is at most `tolerance`, `eps^{3/4}` for `None`.

    `report` is called with the relative residual and the steps of every system solved, also from compiled programs.
    """

    tolerance: eqx.AbstractVar[float | None]
    report: eqx.AbstractVar[Report | None]

    @abc.abstractmethod
    def iterate(
        self, linearisation: Linearisation, tolerance: float, matvec: Matvec, b: Array, transposed: bool
    ) -> Iterated:
        """Solve with `B`, or its transpose if so said, whose products `matvec` has."""

    def way(self, linearisation: Linearisation, matvec: Matvec, like: Array) -> Way:
        tolerance = float(jnp.finfo(like.dtype).eps) ** 0.75 if self.tolerance is None else self.tolerance

        def run(matvec: Matvec, b: Array, transposed: bool) -> Solved:
            found = self.iterate(linearisation, tolerance, matvec, b, transposed)
            if self.report is not None:
                jax.debug.callback(self.report, found.residual, found.steps)
            return Solved(found.x, found.ok)

        return Way(run)


class ConjugateGradient(AbstractIterative):
    """Conjugate gradients on the face, matrix-free, for symmetric systems, scaled by the diagonal where it is known.

    A small residual does not prove that the system is regular: `icg.certify` does.

    Args:
        tolerance: bounds the relative residual; `None` takes `eps^{3/4}` of the dtype (1.8e-12 in float64). Above ten
            times that the derivative is refused.
        max_steps: products with the Hessian at the most.
        report: called with the relative residual `||B x - b|| / ||b||` and the steps of every system solved, also from
            compiled programs.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> adjoint = icg.adjoints.ConjugateGradient(report=lambda residual, steps: print(int(steps), "steps"))
        >>> X, y = jnp.array([[2.0, 0.0], [0.0, 1.0]]), jnp.array([2.0, 1.0])
        >>> jax.grad(lambda a: icg.solve(icg.lasso(X, y, a), adjoint=adjoint).value.sum())(0.1)
        1 steps
        Array(-2.5, dtype=float32, weak_type=True)
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=10_000)
    report: Report | None = eqx.field(static=True, default=None)

    def iterate(
        self, linearisation: Linearisation, tolerance: float, matvec: Matvec, b: Array, transposed: bool
    ) -> Iterated:
        del transposed
        if not linearisation.symmetric:
            raise ValueError(
                "ConjugateGradient needs a symmetric linearisation, and this problem's is not. Use "
                "`icg.adjoints.GMRES()` or `icg.adjoints.Direct()`."
            )
        return conjugate_gradient(matvec, b, tolerance, self.max_steps, linearisation.diagonal)


class GMRES(AbstractIterative):
    """GMRES over the last `memory` directions, matrix-free, for general systems; the rest as in `ConjugateGradient`."""

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=1_000)
    memory: int = eqx.field(static=True, default=50)
    report: Report | None = eqx.field(static=True, default=None)

    def iterate(
        self, linearisation: Linearisation, tolerance: float, matvec: Matvec, b: Array, transposed: bool
    ) -> Iterated:
        del linearisation, transposed
        return gmres(matvec, b, tolerance, self.max_steps, self.memory)


def _affine(matvec: Matvec, b: Array) -> tuple[Callable[[Array], Evaluated], Array]:
    """`B v - b` with the scale `||b||`, and that scale."""
    size = two_norm(b)
    scale = jnp.where(size > 0, size, 1)

    def evaluate(v: Array) -> Evaluated:
        F = matvec(v) - b
        return Evaluated(F, two_norm(F), scale, v)

    return evaluate, scale


class Anderson(AbstractIterative):
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

    def iterate(
        self, linearisation: Linearisation, tolerance: float, matvec: Matvec, b: Array, transposed: bool
    ) -> Iterated:
        del linearisation, transposed
        reached = run_iteration(_affine(matvec, b)[0], b, AndersonMixing(self.memory), tolerance, self.max_steps)
        return Iterated(reached.point, reached.size <= 10 * tolerance, reached.steps, reached.size)


class Measured(AbstractIterative):
    """The cheapest iteration that the measured contraction rate allows: plain, else Anderson's, else GMRES.

    Each takes over where the one before it stopped; in a batch only the systems that need it go on. Arguments are those
    of `Anderson`; `fast` is the rate up to which the plain iteration is kept.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    memory: int = eqx.field(static=True, default=5)
    max_steps: int = eqx.field(static=True, default=500)
    fast: float = eqx.field(static=True, default=0.6)
    report: Report | None = eqx.field(static=True, default=None)

    def iterate(
        self, linearisation: Linearisation, tolerance: float, matvec: Matvec, b: Array, transposed: bool
    ) -> Iterated:
        del linearisation, transposed
        evaluate, scale = _affine(matvec, b)
        plain = run_iteration(
            evaluate,
            b,
            Damped(),
            tolerance,
            self.max_steps,
            worth=lambda steps, rate: (steps < 4) | (rate < self.fast),
        )
        mixed = resume(evaluate, plain, AndersonMixing(self.memory), tolerance, jnp.minimum(self.max_steps, 60))
        finished = mixed.size <= tolerance

        def last_resort() -> Iterated:
            left = jnp.where(finished, 0, b - matvec(mixed.point))  # zero ends it at once
            part = two_norm(left)
            found = gmres(matvec, left, tolerance * scale / jnp.where(part > 0, part, 1), self.max_steps)
            x = mixed.point + found.x
            residual = two_norm(matvec(x) - b) / scale
            return Iterated(x, residual <= 10 * tolerance, mixed.steps + found.steps, residual)

        return only_where(~finished, last_resort, Iterated(mixed.point, finished, mixed.steps, mixed.size))


class PeacemanRachford(AbstractIterative):
    """Peaceman-Rachford splitting of `B = I - D W`, and of its transpose, for layers with a monotone `W`.

    The resolvent that the solver of the same name made is used again. Arguments are those of `Anderson`.

    Source: Winston, Kolter, Monotone operator equilibrium networks, NeurIPS 2020.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=2000)
    report: Report | None = eqx.field(static=True, default=None)

    def iterate(
        self, linearisation: Linearisation, tolerance: float, matvec: Matvec, b: Array, transposed: bool
    ) -> Iterated:
        inverse = linearisation.inverse
        if not isinstance(inverse, SplittingInverse):
            raise ValueError(
                "PeacemanRachford solves the linear systems of layers z = s(W z + b) with an activation that acts "
                "entry by entry (icg.affine_equilibrium, icg.deq.MonotoneDEQ), and this problem is not one. Use "
                "`icg.adjoints.Measured()` or `icg.adjoints.GMRES()`."
            )
        return inverse.iterate(matvec, b, tolerance, self.max_steps, transposed=transposed)
