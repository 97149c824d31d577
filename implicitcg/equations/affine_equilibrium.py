"""Equilibria of one affine map and a proximal activation: `z = s(W z + b)`."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from ..base.checks import floating, matching_dtype
from ..core import AbstractProblem, Certificate, Linearisation
from ..core.vertices import vertex_certificate
from ..linear import AbstractSquareMap, CircularMap, DenseMap, SplittingInverse
from ..penalties import AbstractActivation, ReLU


class AffineEquilibrium(AbstractProblem[Array]):
    """`z = s(W z + b)` with a proximal activation `s`; build it with `icg.affine_equilibrium`.

    Where `I - (W + W^T)/2 >= m I` with `m > 0` there is exactly one solution for every `b`, `I - D W` is invertible for
    every diagonal `0 <= D <= I`, and `||(I - D W)^{-1} D|| <= 1/m`.
    """

    map: AbstractSquareMap
    bias: Array
    activation: AbstractActivation

    def preactivation(self, z: Array) -> Array:
        """`W z + b`, with little rounding: residuals, and the side that every unit is on, hang on it."""
        return self.map.apply_precisely(z) + self.bias

    def residual(self, z: Array) -> Array:
        """`z - s(W z + b)`."""
        return z - self.activation(self.preactivation(z))

    def initial(self) -> Array:
        """Zeros."""
        return jnp.zeros_like(self.bias)

    def linearise(self, z: Array, memory: Any = None) -> Linearisation[Array]:
        """`B = I - D W` with `D` the slopes of the activation, both blocks from one choice at every kink.

        `memory` is the resolvent that a splitting solver made, with its step; the inverse uses it again.
        """
        parameters, rest = eqx.partition(self, eqx.is_inexact_array)

        def affine(p: Any, z: Array) -> Array:
            return eqx.combine(p, rest).preactivation(z)

        def activate(p: Any, s: Array) -> Array:
            return eqx.combine(p, rest).activation(s)

        s, inner = jax.linearize(affine, parameters, z)
        _, outer = jax.linearize(activate, parameters, s)
        still = jax.tree.map(jnp.zeros_like, parameters)

        def push(tangent: Any) -> Array:
            filled = jax.tree.map(
                lambda zero, t: zero if t is None else t,
                still,
                eqx.filter(tangent, eqx.is_inexact_array),
                is_leaf=lambda leaf: leaf is None,
            )
            return -outer(filled, inner(filled, jnp.zeros_like(z)))

        inverse = None
        if self.activation.separable:
            slope = lax.stop_gradient(outer(still, jnp.ones_like(s)))
            resolvent, step = (None, None) if memory is None else lax.stop_gradient(memory)
            inverse = SplittingInverse(lax.stop_gradient(self.map), slope, resolvent, step)
        return Linearisation(
            apply=lambda dz: dz - outer(still, inner(still, dz)),
            push=push,
            inverse=inverse,
        )

    def modulus(self) -> float:
        """The largest `m` with `I - (W + W^T)/2 >= m I`; negative where `W` is not monotone. Concrete."""
        blocks = self.map.blocks()
        symmetric = (blocks + np.conj(np.swapaxes(blocks, -1, -2))) / 2
        return float(1 - np.linalg.eigvalsh(symmetric).max())

    def certificate(self, z: Array, residual: float, tolerance: float | None) -> Certificate:
        """Certified at once, whatever the number of kinks, where `W` is monotone; by the vertices otherwise."""
        rounding = 10 * z.size * float(jnp.finfo(z.dtype).eps)
        modulus, size = self.modulus(), float(np.linalg.norm(self.map.blocks(), 2, axis=(-2, -1)).max())
        distance = np.asarray(self.activation.distance(self.preactivation(jnp.asarray(z))))
        if modulus <= rounding * max(1.0, size) or not self.activation.separable:
            return vertex_certificate(self, z, residual, tolerance)
        near = self.map.row_norm() * self.error_bound(residual) if tolerance is None else tolerance
        kinks = int(np.sum(distance <= near))
        kind = "a contraction" if size < 1 else f"monotone with m = {modulus:.3g}"
        reason = f"W is {kind}, so I - D W is invertible for every choice of slopes D in [0, 1]"
        margin = float(np.min(distance, initial=np.inf))
        return Certificate("certified", kinks, margin, modulus / (modulus + size), 2**kinks, reason)

    def error_bound(self, residual: float) -> float:
        """`||z - z*|| <= (1 + ||I - W||) / m * ||z - s(W z + b)||`, infinite where `W` is not monotone. Concrete."""
        blocks, modulus = self.map.blocks(), self.modulus()
        if modulus <= 0:
            return float("inf")
        size = float(np.linalg.norm(np.eye(blocks.shape[-1]) - blocks, 2, axis=(-2, -1)).max())
        return (1 + size) / modulus * residual


def affine_equilibrium(
    W: AbstractSquareMap | Float[Array, "n n"], b: Array, activation: AbstractActivation | None = None
) -> AffineEquilibrium:
    """The equilibrium `z = s(W z + b)` of one layer, for a proximal activation `s`.

    Args:
        W: a matrix `(n, n)`, or a map such as a periodic convolution. Monotone, `I - (W + W^T)/2 >= m I` with
            `m > 0`, or a contraction, for a solution that exists and is unique; `icg.certify` tells.
        b: what is injected, `(n,)`, or an image for a convolution.
        activation: ReLU by default; `icg.penalties.Prox(penalty)`, or `icg.penalties.Entrywise(jnp.tanh)`.

    Returns:
        A problem for `icg.solve`, differentiable in `W`, `b` and the parameters of the activation.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> problem = icg.affine_equilibrium(jnp.array([[0.5, 2.0], [-2.0, 0.5]]), jnp.array([1.0, 2.0]))
        >>> icg.solve(problem).value.round(4)
        Array([2. , 0. ], dtype=float32)

    Source: Winston, Kolter, Monotone operator equilibrium networks, NeurIPS 2020.
    """
    b = floating(b, "b")
    if not isinstance(W, AbstractSquareMap):
        W, b = matching_dtype(floating(W, "W"), b)
        if W.ndim != 2 or W.shape != (b.size, b.size) or b.ndim != 1:
            raise ValueError(f"W has shape {W.shape} and b {b.shape}; a matrix (n, n) and a vector (n,) are needed.")
        W = DenseMap(W)
    elif isinstance(W, CircularMap) and b.shape != (W.spectrum.shape[-1], W.spectrum.shape[0], W.width):
        raise ValueError(
            f"b has shape {b.shape}, and this convolution acts on images of shape "
            f"{(W.spectrum.shape[-1], W.spectrum.shape[0], W.width)}, channels first."
        )
    activation = ReLU() if activation is None else activation
    if not isinstance(activation, AbstractActivation):
        raise TypeError(
            f"activation is a {type(activation).__name__}; it must be proximal: icg.penalties.ReLU(), "
            "icg.penalties.Prox(penalty) or icg.penalties.Entrywise(function)."
        )
    return AffineEquilibrium(W, b, activation)
