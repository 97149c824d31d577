"""`derivative`: the Jacobian of iterates with the verdict on its convergence and a bound of its error."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from .contraction import Contraction, contraction
from .iterate import iterate


@dataclasses.dataclass(frozen=True)
class UnrolledDerivative:
    """The iterate, its Jacobian in the arguments, and how far that is from the derivative of the limit.

    Attributes:
        value: `z_k`.
        jacobian: for each argument (a single tree for one argument), `d z_k / d arg` through the last steps.
        bias: a bound of the error from cutting the sum, `c rho^K L / (1 - rho)`.
        drift: a bound of the error from evaluating at iterates instead of the limit, for the given Lipschitz constant
            of the Jacobian; `nan` if none was given.
        distance: a bound of `||z_k - z*||`, `c ||f(z_k) - z_k|| / (1 - rho)`.
        contraction: the verdict at `z_k`.
    """

    value: PyTree
    jacobian: Any
    bias: float
    drift: float
    distance: float
    contraction: Contraction

    def __str__(self) -> str:
        drift = "unknown (give `lipschitz`)" if np.isnan(self.drift) else f"at most {self.drift:.2e}"
        return (
            f"{self.contraction}\n  distance to the limit   at most {self.distance:.2e}\n"
            f"  error of truncation     at most {self.bias:.2e}\n  error of the point      {drift}"
        )


def derivative(
    f: Callable[..., Any],
    z0: PyTree,
    *args: PyTree,
    steps: int,
    last: int | None = None,
    lipschitz: float | None = None,
    tol: float = 0.0,
) -> UnrolledDerivative:
    """The derivative of `z_k` in `args` through the last `K` steps, and how far it is from that of the limit.

    Where all elements `[M N]` at the limit contract, `||M|| <= rho < 1`, the derivative of the limit is
    `sum_i M^i N` and

        ||D_K - D|| <= rho^K L / (1 - rho) + lambda d (sum_{i<K} rho^i + i rho^{i-1} L),

    with `L = ||N||`, `lambda` the Lipschitz constant of the Jacobian (0 for piecewise affine maps whose branch is
    identified) and `d = ||z_{k-K} - z*||`. In a quadratic norm both terms carry the factor `c` between the norms.

    Args:
        f: a JAX function `(z, *args) -> z`.
        z0: the start.
        *args: pytrees of parameters; Jacobians are taken in all their floating leaves.
        steps: how many steps.
        last: how many of them are differentiated; `None` for all.
        lipschitz: a Lipschitz constant `lambda` of the Jacobian of `f` around the limit, if one is known.
        tol: how near counts as on a kink, for the verdict.

    Returns:
        An `UnrolledDerivative`. The verdict needs concrete values: call it outside `jit`.

    Raises:
        ValueError: the verdict is `"refused"`: derivatives of the iterates need not converge. Momentum is the usual
            reason. `icg.unroll.contraction` shows the verdict without raising; `icg.unroll.iterate` differentiates
            without asking.

    Example:
        >>> import implicitcg as icg
        >>> one_step = icg.unroll.derivative(lambda z, t: 0.9 * z + t, 0.0, 1.0, steps=400, last=1, lipschitz=0.0)
        >>> round(float(one_step.jacobian), 3), round(one_step.bias, 3)  # the truth is 10
        (1.0, 9.0)

    Source: Bolte, Pauwels, Vaiter, One-step differentiation of iterative algorithms, NeurIPS 2023.
    """
    args = jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, float) else leaf, args)
    moving, still = eqx.partition(args, eqx.is_inexact_array)

    def through(moving: Any) -> Any:
        return iterate(f, z0, *eqx.combine(moving, still), steps=steps, last=last)

    value = through(moving)
    verdict = contraction(f, value, *args, tol=tol)
    if verdict.verdict == "refused":
        raise ValueError(f"The derivative of these iterates was refused: {verdict.reason}.")
    jacobian = jax.jacfwd(through)(moving)
    jacobian = _by_argument(jacobian, value, len(args))
    count, rho, L = steps if last is None else last, verdict.rate, verdict.sensitivity
    before = value if count == 0 else iterate(f, z0, *args, steps=steps - count)
    certified = verdict.verdict == "certified"

    def away(z: Any) -> float:
        gap = ravel_pytree(jax.tree.map(jnp.subtract, f(z, *args), z))[0]
        return verdict.condition * float(jnp.linalg.norm(gap)) / (1 - rho) if certified else np.inf

    bias = verdict.condition * rho**count * L / (1 - rho) if certified else np.inf
    drift = np.nan
    if lipschitz is not None:
        i = np.arange(count)
        terms = (rho**i + np.where(i > 0, i * rho ** np.maximum(i - 1, 0), 0) * L).sum()
        drift = 0.0 if lipschitz == 0 else verdict.condition * lipschitz * away(before) * float(terms)
    return UnrolledDerivative(value, jacobian, float(bias), float(drift), away(value), verdict)


def _by_argument(jacobian: Any, value: Any, count: int) -> Any:
    """`jacfwd` gives the tree of `value` with trees of `args` at its leaves; one argument stands for itself."""
    return jax.tree.map(lambda _, J: J[0] if count == 1 else J, value, jacobian) if count == 1 else jacobian
