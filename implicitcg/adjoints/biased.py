"""Biased adjoints: cheap stand-ins for the linear solve, whose error no tolerance bounds.

With `J = I - B` the exact derivative is `sum_{i >= 0} J^i rhs`; these keep a few terms. Where `||J|| <= rho < 1` the
error of the first `k + 1` terms is at most `rho^{k+1} / (1 - rho)` times `||rhs||`, and where it is not, unbounded:
for `z = 0.9 z + theta` the one-step derivative is 1 and the truth 10. Ask `icg.adjoints.measure_bias` how large it is.

They hold for first derivatives, forwards and backwards, which are transposes of each other. A derivative of a biased
derivative is not a Hessian, so it is refused.
"""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from ..core import AbstractAdjoint, Linearisation


class OneStep(AbstractAdjoint):
    """`dz = rhs`: the derivative of one more application of the map, with its input held still. Biased.

    Right for a solver whose last step forgets where it came from (Newton's), wrong by the factor `1 / (1 - rho)` for a
    slow one. This is also the Jacobian-free backpropagation of Fung et al.; `JacobianFree` is the same class.

    Source: Bolte, Pauwels, Vaiter, One-step differentiation of iterative algorithms, NeurIPS 2023; Fung et al., JFB,
    AAAI 2022.
    """

    biased: ClassVar[bool] = True

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        del linearisation, throw
        return rhs


JacobianFree = OneStep


class Neumann(AbstractAdjoint):
    """The Neumann series of `B^{-1}` after `steps = k` products, `dz = sum_{i=0}^{k} J^i rhs`. Biased."""

    steps: int = eqx.field(static=True, default=5)
    biased: ClassVar[bool] = True

    def __check_init__(self) -> None:
        _count(self.steps, "Neumann", 0)

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        del throw
        return _damped(linearisation, rhs, rhs, 1.0, self.steps)


class Phantom(AbstractAdjoint):
    """`k = steps` damped steps, `dz = damping sum_{i=0}^{k-1} (damping J + (1 - damping) I)^i rhs`. Biased.

    The derivative of `k` damped steps from the equilibrium; `Phantom(1, 1.0)` is `OneStep`.

    Source: Geng et al., On training implicit models, NeurIPS 2021.
    """

    steps: int = eqx.field(static=True, default=5)
    damping: float = eqx.field(static=True, default=0.5)
    biased: ClassVar[bool] = True

    def __check_init__(self) -> None:
        _count(self.steps, "Phantom", 1)
        if not 0 < self.damping <= 1:
            raise ValueError(f"damping is {self.damping}; it must be in (0, 1].")

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        del throw
        return _damped(linearisation, rhs, jax.tree.map(jnp.zeros_like, rhs), self.damping, self.steps)


def _damped(linearisation: Linearisation, rhs: Any, start: Any, damping: float, steps: int) -> Any:
    """`steps` of `x <- x - damping (B x - rhs)`, a scan, so that it can be transposed."""

    def step(x: Any, _: None) -> tuple[Any, None]:
        image = linearisation.apply(x)
        return jax.tree.map(lambda x, b, r: x - jnp.asarray(damping, x.dtype) * (b - r), x, image, rhs), None

    return lax.scan(step, start, None, length=steps)[0]


def _count(steps: int, name: str, least: int) -> None:
    if steps < least:
        raise ValueError(f"{name} has steps={steps}; at least {least} is needed.")
