"""Whether derivatives of iterates converge: one norm in which every element contracts, or products that grow."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import numpy as np
import scipy.linalg
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from ..nonsmooth import conservative_jacobians

LONGEST, PRODUCTS = 12, 8192  # products of elements that are looked at to refute convergence


@dataclasses.dataclass(frozen=True)
class Contraction:
    """The verdict on the elements `[M N]` of the conservative Jacobian of `f` in `(z, args)` at a point.

    Attributes:
        verdict: `"certified"`: all `M` contract in one norm, so derivatives of iterates near the point converge, to a
            set that contains the implicit derivative. `"refused"`: some product of elements grows, so there are
            selections along which they diverge, whatever the iterates do. `"unknown"`: neither was shown.
        rate: the contraction rate `rho` in that norm; without one, the growth per step of the worst product found.
        norm: `"euclidean"`, or `"quadratic"` (`|z|_P = |P^{1/2} z|` for a matrix found by Lyapunov's equation).
        condition: `sqrt(cond(P))`, the factor between that norm and the Euclidean one.
        sensitivity: the largest `||N||`, Euclidean.
        elements: how many were examined, and whether these are `exhaustive`.
        reason: a sentence.
    """

    verdict: Literal["certified", "refused", "unknown"]
    rate: float
    norm: Literal["euclidean", "quadratic"]
    condition: float
    sensitivity: float
    elements: int
    exhaustive: bool
    reason: str

    def __str__(self) -> str:
        return f"{self.verdict}: {self.reason}"


def contraction(
    f: Callable[..., Any], z: PyTree, *args: PyTree, tol: float = 0.0, max_elements: int = 4096
) -> Contraction:
    """Whether all elements of the conservative Jacobian of `z -> f(z, *args)` at `z` contract in one norm.

    The Euclidean norm is tried first, then a quadratic one, `max_M ||P^{1/2} M P^{-1/2}|| < 1`. If neither works,
    products of up to 12 elements are searched for a spectral radius above 1. Methods with momentum fail here at a kink
    of the gradient: each element alone has spectral radius below 1, but they contract in no common norm.

    Args:
        f: a JAX function `(z, *args) -> z`.
        z: a concrete point, at or near the limit of the iteration.
        *args: pytrees of parameters.
        tol: how near counts as on a kink; give the error of `z`.
        max_elements: see `icg.conservative_jacobian`.

    Returns:
        A `Contraction`.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> print(icg.unroll.contraction(lambda z, t: jnp.abs(z) / 2 + t, 0.0, 0.0))
        certified: all 2 elements contract in the Euclidean norm, at rate 0.5

    Source: Bolte, Pauwels, Vaiter, Automatic differentiation of nonsmooth iterative algorithms, NeurIPS 2022.
    """
    both, exhaustive, size = elements(f, z, *args, tol=tol, max_elements=max_elements)(z)
    return judge_contraction(both, exhaustive, size)


def elements(
    f: Callable[..., Any], like: PyTree, *args: PyTree, tol: float = 0.0, max_elements: int = 4096
) -> Callable[[PyTree], tuple[np.ndarray, bool, int]]:
    """`z -> (elements [M N], exhaustive, dim z)` at `args`, compiled once; `like` has the structure of `z`."""
    moving, still = eqx.partition(args, eqx.is_inexact_array_like)
    flat, unravel = ravel_pytree((like, moving))
    size = ravel_pytree(like)[0].shape[0]

    def image(both: Any) -> Any:
        z, moving = unravel(both)
        return ravel_pytree(f(z, *eqx.combine(moving, still)))[0]

    sets = conservative_jacobians(image, tol=tol, max_elements=max_elements)

    def at(z: PyTree) -> tuple[np.ndarray, bool, int]:
        found = sets(flat.at[:size].set(ravel_pytree(z)[0]))
        return np.asarray(found.vertices, float), found.exhaustive, size

    return at


def judge_contraction(both: np.ndarray, exhaustive: bool, size: int) -> Contraction:
    """The verdict on elements `[M N]`, `(number, size, size + parameters)`, all together."""
    blocks = both[:, :, :size]
    sensitivity = max((np.linalg.norm(N, 2) for N in both[:, :, size:]), default=0.0) if both.shape[2] > size else 0.0
    many = f"all {len(blocks)} elements" if len(blocks) > 1 else "the one element"
    contracts = "contract" if len(blocks) > 1 else "contracts"

    def verdict(kind: Any, rate: float, norm: Any, condition: float, reason: str) -> Contraction:
        if kind == "certified" and not exhaustive:
            kind, reason = "unknown", reason + ", but these are a sample of the elements only"
        return Contraction(kind, rate, norm, float(condition), float(sensitivity), len(blocks), exhaustive, reason)

    rate = float(max(np.linalg.norm(M, 2) for M in blocks))
    if rate < 1:
        return verdict(
            "certified", rate, "euclidean", 1.0, f"{many} {contracts} in the Euclidean norm, at rate {rate:.3g}"
        )
    shape = _lyapunov(blocks.mean(axis=0))
    if shape is not None:
        root = np.linalg.cholesky(shape).T
        rate = float(max(np.linalg.norm(root @ np.linalg.solve(root.T, M.T).T, 2) for M in blocks))
        condition = np.linalg.cond(root)
        if rate < 1:
            return verdict(
                "certified", rate, "quadratic", condition, f"{many} {contracts} in a quadratic norm, at rate {rate:.3g}"
            )
    growth, length = _growth(blocks)
    if growth > 1:
        worst = "its element grows" if len(blocks) == 1 else f"a product of {length} elements grows"
        return verdict(
            "refused",
            growth,
            "euclidean",
            1.0,
            f"{worst} by a factor of {growth:.4g} a step: derivatives of the iterates can diverge even where the "
            "iterates converge, as for methods with momentum at a kink of the gradient. Differentiate the equation of "
            "the limit (icg.fixed_point) or an iteration without momentum",
        )
    return verdict(
        "unknown", growth, "euclidean", 1.0, f"no norm was found in which {many} {contracts}, and no growing product"
    )


def _lyapunov(M: np.ndarray) -> np.ndarray | None:
    """`P` with `P - (M/g)^T P (M/g) = I` for a `g` between the spectral radius of `M` and 1."""
    radius = max(abs(np.linalg.eigvals(M)), default=0.0)
    if radius >= 1:
        return None
    scaled = M / np.sqrt(max(radius, 1e-3))
    return scipy.linalg.solve_discrete_lyapunov(scaled.T, np.eye(len(M)))


def _growth(blocks: np.ndarray) -> tuple[float, int]:
    """The largest `rho(M_1 ... M_k)^{1/k}` over short products of elements, and its `k`."""
    best, tried = (0.0, 0), 0
    for length in range(1, LONGEST + 1):
        tried += len(blocks) ** length
        if tried > PRODUCTS:
            break
        for choice in itertools.product(blocks, repeat=length):
            product = choice[0]
            for M in choice[1:]:
                product = product @ M
            growth = float(max(abs(np.linalg.eigvals(product)))) ** (1 / length)
            if growth > best[0] + 1e-9:
                best = (growth, length)
    return best
