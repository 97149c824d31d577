"""`derivative`: the Jacobian of iterates with the verdict on its convergence and a bound of its error."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from ..base import is_traced
from ..nonsmooth import kinks
from .contraction import Contraction, elements, judge_contraction
from .iterate import iterate

EXAMINED = 8  # of the steps that met a kink, those whose elements are formed


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
        contraction: the verdict on the elements at `z_k` and at those differentiated steps that met a kink, together.
        met: how many of the differentiated steps started on a kink.
    """

    value: PyTree
    jacobian: Any
    bias: float
    drift: float
    distance: float
    contraction: Contraction
    met: int

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
    tol: float | None = None,
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
        tol: how near counts as on a kink, for the verdict; `None` means the error of `z_k`, the bound of its distance
            from the limit, and at least rounding.

    Returns:
        An `UnrolledDerivative`. The verdict needs concrete values: call it outside `jit`.

    Raises:
        TypeError: inside `jit` or `vmap`.
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
    if is_traced((z0, args)):
        raise TypeError(
            "icg.unroll.derivative decides about concrete numbers and was called inside a JAX transformation. Call it "
            "outside, or differentiate `icg.unroll.iterate(..., last=K)`, which works anywhere and gives no verdict."
        )
    args = jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, float) else leaf, args)
    moving, still = eqx.partition(args, eqx.is_inexact_array)

    def through(moving: Any) -> Any:
        return iterate(f, z0, *eqx.combine(moving, still), steps=steps, last=last)

    value = through(moving)
    verdict, met = _verdict(f, z0, value, args, steps, last, tol)
    if verdict.verdict == "refused":
        raise ValueError(f"The derivative of these iterates was refused: {verdict.reason}.")
    jacobian = jax.jacfwd(through)(moving)
    jacobian = _by_argument(jacobian, value, len(args))
    count, rho, L = steps if last is None else last, verdict.rate, verdict.sensitivity
    before = value if count == 0 else iterate(f, z0, *args, steps=steps - count)
    certified = verdict.verdict == "certified"

    def away(z: Any) -> float:
        return _away(f, z, args, verdict)

    bias = verdict.condition * rho**count * L / (1 - rho) if certified else np.inf
    drift = np.nan
    if lipschitz is not None:
        i = np.arange(count)
        terms = (rho**i + np.where(i > 0, i * rho ** np.maximum(i - 1, 0), 0) * L).sum()
        drift = 0.0 if lipschitz == 0 else verdict.condition * lipschitz * away(before) * float(terms)
    return UnrolledDerivative(value, jacobian, float(bias), float(drift), away(value), verdict, met)


def _away(f: Callable[..., Any], z: PyTree, args: tuple[PyTree, ...], verdict: Contraction) -> float:
    """The bound of `||z - z*||` by a contraction."""
    if verdict.verdict != "certified":
        return np.inf
    gap = ravel_pytree(jax.tree.map(jnp.subtract, f(z, *args), z))[0]
    return verdict.condition * float(jnp.linalg.norm(gap)) / (1 - verdict.rate)


def _verdict(
    f: Callable[..., Any],
    z0: PyTree,
    value: PyTree,
    args: tuple[PyTree, ...],
    steps: int,
    last: int | None,
    tol: float | None,
) -> tuple[Contraction, int]:
    """The verdict on the elements at `z_k` and at the differentiated steps on a kink, and the number of these."""
    flat = ravel_pytree(value)[0]
    rounding = float(jnp.finfo(flat.dtype).eps) ** 0.75 * (1 + float(jnp.max(jnp.abs(flat), initial=0.0)))
    on_kink = rounding if tol is None else tol
    sets = elements(f, value, *args, tol=on_kink)
    both, exhaustive, size = sets(value)
    if tol is None:
        bound = _away(f, value, args, judge_contraction(both, exhaustive, size))
        if on_kink < bound < np.inf:  # the iterate is too far from the limit to tell these kinks apart
            both, exhaustive, size = elements(f, value, *args, tol=bound)(value)
    limit = judge_contraction(both, exhaustive, size)
    count = steps if last is None else last
    start = z0 if count == steps else iterate(f, z0, *args, steps=steps - count)
    start = jax.tree.map(lambda leaf, like: jnp.asarray(leaf, like.dtype), start, value)
    _, states = lax.scan(lambda z, _: (f(z, *args), z), start, None, length=count)
    counts = jax.jit(jax.vmap(lambda z: kinks(f, z, *args, tol=on_kink).count))(states)
    on = np.flatnonzero(np.asarray(counts))
    for i in on[np.unique(np.linspace(0, len(on) - 1, EXAMINED, dtype=int))] if len(on) else ():
        more, all_of_them, _ = sets(jax.tree.map(lambda leaf, i=i: leaf[i], states))
        both, exhaustive = np.concatenate([both, more]), exhaustive and all_of_them
    if len(on) == 0 or limit.verdict == "refused":
        return limit, len(on)
    distinct = np.unique(both.round(12), axis=0, return_index=True)[1]
    joint = judge_contraction(both[np.sort(distinct)], exhaustive and len(on) <= EXAMINED, size)
    if limit.verdict != "certified" or joint.verdict == "certified":
        return joint, len(on)
    reason = (
        f"at the limit {limit.reason}, but {len(on)} differentiated steps met a kink whose elements do not contract "
        "with them in one norm: derivatives still converge, but no bound holds. Differentiate fewer steps (`last`)"
    )
    return dataclasses.replace(joint, verdict="unknown", reason=reason), len(on)


def _by_argument(jacobian: Any, value: Any, count: int) -> Any:
    """`jacfwd` gives the tree of `value` with trees of `args` at its leaves; one argument stands for itself."""
    return jax.tree.map(lambda _, J: J[0] if count == 1 else J, value, jacobian) if count == 1 else jacobian
