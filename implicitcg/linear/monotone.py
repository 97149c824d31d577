"""Linear maps `W` of an equilibrium layer, with what operator splitting needs of them: `(I + a (I - W))^{-1}`.

`W` is *m-monotone* where `I - (W + W^T)/2 >= m I`. Maps act on arrays of their own shape, vectors or images.
"""

from __future__ import annotations

import abc
import functools

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Complex, Float

PARTS, SHORTEST = 8, 25  # parts that the sum of a product is cut into, and the fewest terms of one


class AbstractSquareMap(eqx.Module):
    """A linear map of a space of arrays to itself."""

    @abc.abstractmethod
    def apply(self, z: Array) -> Array:
        """`W z`."""

    @abc.abstractmethod
    def apply_precisely(self, z: Array) -> Array:
        """`W z` with less rounding, for judging a residual: iterations do without."""

    @abc.abstractmethod
    def transpose(self) -> AbstractSquareMap:
        """`W^T`."""

    @abc.abstractmethod
    def resolvent(self, step: Array) -> AbstractSquareMap:
        """`(I + step (I - W))^{-1}`."""

    @abc.abstractmethod
    def spread(self) -> Float[Array, ""]:
        """The root mean square of the singular values of `I - W`."""

    @abc.abstractmethod
    def blocks(self) -> np.ndarray:
        """The blocks on the diagonal of `W` in an orthonormal (or unitary) basis, `(k, c, c)`, concrete."""

    @abc.abstractmethod
    def row_norm(self) -> float:
        """The largest Euclidean norm of a row, concrete."""


def sum_of_products(a: Float[Array, "*m k"], b: Float[Array, "k n"]) -> Float[Array, "*m n"]:
    """`a @ b`, with the sum over `k` cut into a few parts, whose rounding is that of shorter sums.

    A sum of 500 products in single precision rounds by several units of its last place, about half as much in parts.
    """
    length = b.shape[0]
    count = max(1, min(PARTS, length // SHORTEST))
    sizes = [length // count + (i < length % count) for i in range(count)]
    parts = zip(lax.split(a, sizes, a.ndim - 1), lax.split(b, sizes, 0), strict=True)
    return functools.reduce(jnp.add, (left @ right for left, right in parts))


class DenseMap(AbstractSquareMap):
    """`W` as a matrix, on vectors."""

    matrix: Float[Array, "n n"]

    def apply(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        return z @ self.matrix.T  # in this order a batch of vectors is one product of matrices, without transposes

    def apply_precisely(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        return sum_of_products(z, self.matrix.T)

    def transpose(self) -> DenseMap:
        return DenseMap(self.matrix.T)

    def resolvent(self, step: Array) -> DenseMap:
        eye = jnp.eye(len(self.matrix), dtype=self.matrix.dtype)
        return DenseMap(jnp.linalg.inv(eye + step * (eye - self.matrix)))

    def spread(self) -> Float[Array, ""]:
        eye = jnp.eye(len(self.matrix), dtype=self.matrix.dtype)
        return jnp.sqrt(jnp.mean(jnp.sum(jnp.square(eye - self.matrix), 0)))

    def blocks(self) -> np.ndarray:
        return np.asarray(self.matrix, float)[None]

    def row_norm(self) -> float:
        return float(np.max(np.linalg.norm(np.asarray(self.matrix, float), axis=1), initial=0.0))


class CircularMap(AbstractSquareMap):
    """A convolution with periodic boundary on images `(c, h, w)`, as one `c x c` matrix for each frequency.

    `spectrum[a, b]` belongs to the frequency `(a, b)` of `jnp.fft.rfft2`.
    """

    spectrum: Complex[Array, "h v c c"]
    width: int = eqx.field(static=True)

    def apply(self, z: Float[Array, "c h w"]) -> Float[Array, "c h w"]:
        image = jnp.einsum("hvcd,dhv->chv", self.spectrum, jnp.fft.rfft2(z))
        return jnp.fft.irfft2(image, s=z.shape[1:]).astype(z.dtype)

    def apply_precisely(self, z: Float[Array, "c h w"]) -> Float[Array, "c h w"]:
        """`W z`: a transform rounds little, and its sums are over a few channels."""
        return self.apply(z)

    def transpose(self) -> CircularMap:
        return CircularMap(jnp.conj(jnp.swapaxes(self.spectrum, -1, -2)), self.width)

    def resolvent(self, step: Array) -> CircularMap:
        eye = jnp.eye(self.spectrum.shape[-1], dtype=self.spectrum.dtype)[None, None]
        step = jnp.asarray(step, self.spectrum.dtype)
        return CircularMap(jnp.linalg.inv(eye + step * (eye - self.spectrum)), self.width)

    def spread(self) -> Float[Array, ""]:
        """See `AbstractSquareMap.spread`; conjugate frequencies, which `rfft2` leaves out, count twice."""
        eye = jnp.eye(self.spectrum.shape[-1], dtype=self.spectrum.dtype)[None, None]
        squares = jnp.sum(jnp.square(jnp.abs(eye - self.spectrum)), (-1, -2))
        weights = jnp.asarray(_multiplicity(self.width), squares.dtype)[None]
        return jnp.sqrt(jnp.sum(squares * weights) / (len(squares) * self.width * eye.shape[-1]))

    def blocks(self) -> np.ndarray:
        return np.asarray(self.spectrum).reshape(-1, *self.spectrum.shape[-2:])

    def row_norm(self) -> float:
        """See `AbstractSquareMap.row_norm`; by Parseval, the mean over frequencies."""
        squares = np.sum(np.abs(np.asarray(self.spectrum)) ** 2, axis=-1)  # (h, v, c)
        total = np.einsum("hvc,v->c", squares, _multiplicity(self.width)) / (len(squares) * self.width)
        return float(np.sqrt(total.max()))


def _multiplicity(width: int) -> np.ndarray:
    """How often each frequency kept by a real transform of this length occurs in the full one."""
    kept = np.arange(width // 2 + 1)
    return np.where((kept == 0) | (2 * kept == width), 1.0, 2.0)


def circular_spectrum(kernel: Float[Array, "o i k l"], height: int, width: int) -> Complex[Array, "h v o i"]:
    """The matrices, one for each frequency, of the periodic correlation with `kernel` centred on each pixel."""
    tall, wide = kernel.shape[-2:]
    padded = jnp.zeros((*kernel.shape[:2], height, width), kernel.dtype).at[..., :tall, :wide].set(kernel)
    centred = jnp.roll(padded, (-(tall // 2), -(wide // 2)), axis=(-2, -1))
    return jnp.conj(jnp.transpose(jnp.fft.rfft2(centred), (2, 3, 0, 1)))
