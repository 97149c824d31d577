"""Layers `z = s(W z + U x + b)` whose `W` makes an equilibrium exist, unique and certified, whatever training finds."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from .. import adjoints
from ..core import AbstractAdjoint, AbstractSolver, Solution
from ..equations import AffineEquilibrium, affine_equilibrium
from ..linear import AbstractSquareMap, CircularMap, DenseMap, circular_spectrum, sum_of_products
from ..penalties import AbstractActivation, ReLU
from ..solvers import Measured, PeacemanRachford, Polished
from ..solving import solve
from .samples import backward_tolerance, cast, finite, presented, without_bad_numbers, working_dtype


class AbstractAffineLayer(eqx.Module):
    """`z = s(W z + U x + b)` on vectors, or with periodic convolutions on images; subclasses say what `W` is."""

    U: eqx.AbstractVar[Array]
    b: eqx.AbstractVar[Array]
    activation: eqx.AbstractVar[AbstractActivation]
    image: eqx.AbstractVar[tuple[int, int] | None]
    tolerance: eqx.AbstractVar[float | None]
    polish: eqx.AbstractVar[bool]
    solver: eqx.AbstractVar[AbstractSolver | None]
    adjoint: eqx.AbstractVar[AbstractAdjoint | None]

    @abc.abstractmethod
    def map(self) -> AbstractSquareMap:
        """`W`, in the dtype of the solve."""

    @abc.abstractmethod
    def methods(self) -> tuple[AbstractSolver, AbstractAdjoint]:
        """Solver and adjoint that suit this `W`."""

    def injected(self, x: Float[Array, "..."]) -> Array:
        """`U x + b`, in the dtype of the solve."""
        U, b = cast((self.U, self.b), self._dtype())
        x = jnp.asarray(x, U.dtype)
        expected = (U.shape[1], *(self.image or ()))
        if x.shape != expected:
            raise ValueError(
                f"the input has shape {x.shape}; one sample of shape {expected} is needed. For a batch: "
                "`jax.vmap(layer)(x)`."
            )
        if self.image is None:
            return x @ U.T + b
        spectrum = jnp.einsum("hvoi,ihv->ohv", circular_spectrum(U, *self.image), jnp.fft.rfft2(x))
        return jnp.fft.irfft2(spectrum, s=self.image).astype(x.dtype) + b[:, None, None]

    def problem(self, x: Float[Array, "..."]) -> AffineEquilibrium:
        """The equation of one sample, for `icg.solve` and `icg.certify`."""
        return affine_equilibrium(self.map(), self.injected(x), cast(self.activation, self._dtype()))

    def __call__(self, x: Float[Array, "..."], *, init: Any = None) -> Array:
        """The equilibrium; a failure raises with advice, also inside `jit`."""
        return self.solve(x, init=init).value

    def solve(self, x: Float[Array, "..."], *, init: Any = None, throw: bool = True) -> Solution:
        """The equilibrium as a `Solution`; see `icg.deq.DEQ.solve`, also for `throw=False`."""
        x = jnp.asarray(x)
        good = finite(x)
        problem = self.problem(x if throw else without_bad_numbers(x))
        solver, adjoint = self.methods()
        solver = solver if self.solver is None else self.solver
        adjoint = adjoint if self.adjoint is None else self.adjoint
        if init is not None:
            init = jnp.asarray(init, problem.bias.dtype)
            if init.shape != problem.bias.shape:
                raise ValueError(
                    f"init has shape {init.shape}; one state of shape {problem.bias.shape} is needed. For a batch: "
                    "`jax.vmap` over both."
                )
        solution = solve(problem, Polished(solver) if self.polish else solver, init, adjoint=adjoint, throw=throw)
        return presented(solution, jax.ShapeDtypeStruct(problem.bias.shape, self.b.dtype), good)

    def _dtype(self) -> Any:
        return working_dtype([self.b.dtype])


class MonotoneDEQ(AbstractAffineLayer):
    """`z = s(W z + U x + b)` with `W = (1 - m) I - A^T A + S - S^T`, so that `I - (W + W^T)/2 = m I + A^T A >= m I`.

    Whatever `A` and `S` training finds, there is exactly one equilibrium for every input, `I - D W` is invertible for
    every choice of slopes, and Peaceman-Rachford splitting converges. `jax.vmap(layer)` makes a batch, which shares
    one inverse. With `image=(height, width)` the sizes count channels, and `A`, `S`, `U` are periodic convolutions
    with a `kernel` of odd width; the inverse is then one small matrix for each frequency.

    Args:
        in_size, size: features (or channels) of the input and of the state.
        image: height and width, for a convolutional layer.
        kernel: height and width of the kernels.
        modulus: `m > 0`; smaller means freer and slower.
        activation: ReLU by default, any `icg.penalties.Prox(penalty)`, or `icg.penalties.Entrywise(jnp.tanh)`.
        tolerance: bounds `||z - s(W z + U x + b)|| / max(1, ||z||)`, and the backward's relative residual; by default
            `100 eps` for the first and `eps^{3/4}` for the second.
        polish: end with a Newton step on the pattern found, which takes the residual to rounding; the backward solve is
            then at least as tight as by default.
        solver, adjoint: Peaceman-Rachford splitting by default.
        dtype: of the weights; half precision is solved in float32.
        key: for the initial weights, uniform in `+- 1/sqrt(fan in)`.

    Raises:
        ValueError: a modulus that is not positive, a kernel that is even or larger than the image, an input of the
            wrong shape.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> layer = icg.deq.MonotoneDEQ(3, 8, key=jax.random.key(0))
        >>> jax.vmap(layer)(jnp.ones((5, 3))).shape
        (5, 8)
        >>> image = icg.deq.MonotoneDEQ(1, 4, image=(8, 8), key=jax.random.key(0))
        >>> jax.vmap(image)(jnp.ones((5, 1, 8, 8))).shape
        (5, 4, 8, 8)

    Source: Winston, Kolter, Monotone operator equilibrium networks, NeurIPS 2020.
    """

    A: Array
    S: Array
    U: Array
    b: Array
    activation: AbstractActivation
    modulus: float = eqx.field(static=True)
    image: tuple[int, int] | None = eqx.field(static=True)
    tolerance: float | None = eqx.field(static=True)
    polish: bool = eqx.field(static=True)
    solver: AbstractSolver | None
    adjoint: AbstractAdjoint | None

    def __init__(
        self,
        in_size: int,
        size: int,
        *,
        image: tuple[int, int] | None = None,
        kernel: int = 3,
        modulus: float = 0.1,
        activation: AbstractActivation | None = None,
        tolerance: float | None = None,
        polish: bool = False,
        solver: AbstractSolver | None = None,
        adjoint: AbstractAdjoint | None = None,
        dtype: Any = None,
        key: Array,
    ):
        if not modulus > 0:
            raise ValueError(f"modulus is {modulus}; it must be positive: at 0 an equilibrium need not exist.")
        keys = jax.random.split(key, 4)
        self.A, self.S = (_uniform(k, size, size, image, kernel, dtype) for k in keys[:2])
        self.U, self.b = _uniform(keys[2], in_size, size, image, kernel, dtype), _bias(keys[3], in_size, size, dtype)
        self.activation = ReLU() if activation is None else activation
        self.modulus, self.image, self.tolerance, self.polish = modulus, image, tolerance, polish
        self.solver, self.adjoint = solver, adjoint

    def map(self) -> AbstractSquareMap:
        """`(1 - m) I - A^T A + S - S^T`."""
        A, S = cast((self.A, self.S), self._dtype())
        if self.image is None:
            return DenseMap((1 - self.modulus) * jnp.eye(len(A), dtype=A.dtype) - sum_of_products(A.T, A) + S - S.T)
        A, S = (circular_spectrum(kernel, *self.image) for kernel in (A, S))
        eye = jnp.eye(A.shape[-1], dtype=A.dtype)[None, None]

        def adjoint(spectrum: Array) -> Array:
            return jnp.conj(jnp.swapaxes(spectrum, -1, -2))

        return CircularMap((1 - self.modulus) * eye - adjoint(A) @ A + S - adjoint(S), self.image[1])

    def methods(self) -> tuple[AbstractSolver, AbstractAdjoint]:
        """Peaceman-Rachford splitting, for the backward only where the activation acts entry by entry."""
        tolerance = backward_tolerance(self.tolerance, self.polish, self._dtype() or self.b.dtype)
        adjoint = adjoints.PeacemanRachford(tolerance) if self.activation.separable else adjoints.Measured(tolerance)
        return PeacemanRachford(self.tolerance), adjoint


class ContractiveDEQ(AbstractAffineLayer):
    """`z = s(W z + U x + b)` with `W = M min(1, c / ||M||_2)`, a contraction by `c < 1` whatever training makes of `M`.

    Freer or slower as `c` nears 1; less expressive than `MonotoneDEQ`, whose `W` may have any norm, and cheaper where
    it is solved in few plain steps. Arguments are those of `MonotoneDEQ`, but for `contraction`, the bound `c`. The
    norm is exact: the largest singular value, over all frequencies for a convolution.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> layer = icg.deq.ContractiveDEQ(3, 8, contraction=0.5, key=jax.random.key(0))
        >>> bool(jax.vmap(layer.solve)(jnp.ones((5, 3))).converged.all())
        True
    """

    M: Array
    U: Array
    b: Array
    activation: AbstractActivation
    contraction: float = eqx.field(static=True)
    image: tuple[int, int] | None = eqx.field(static=True)
    tolerance: float | None = eqx.field(static=True)
    polish: bool = eqx.field(static=True)
    solver: AbstractSolver | None
    adjoint: AbstractAdjoint | None

    def __init__(
        self,
        in_size: int,
        size: int,
        *,
        image: tuple[int, int] | None = None,
        kernel: int = 3,
        contraction: float = 0.9,
        activation: AbstractActivation | None = None,
        tolerance: float | None = None,
        polish: bool = False,
        solver: AbstractSolver | None = None,
        adjoint: AbstractAdjoint | None = None,
        dtype: Any = None,
        key: Array,
    ):
        if not 0 < contraction < 1:
            raise ValueError(f"contraction is {contraction}; it must be in (0, 1): at 1 an equilibrium need not exist.")
        keys = jax.random.split(key, 3)
        self.M = _uniform(keys[0], size, size, image, kernel, dtype)
        self.U, self.b = _uniform(keys[1], in_size, size, image, kernel, dtype), _bias(keys[2], in_size, size, dtype)
        self.activation = ReLU() if activation is None else activation
        self.contraction, self.image, self.tolerance, self.polish = contraction, image, tolerance, polish
        self.solver, self.adjoint = solver, adjoint

    def map(self) -> AbstractSquareMap:
        """`M min(1, c / ||M||_2)`."""
        M = cast(self.M, self._dtype())
        spectrum = M if self.image is None else circular_spectrum(M, *self.image)
        size = jnp.max(jnp.linalg.norm(spectrum, 2, axis=(-2, -1)))
        # the larger of the two is divided by: 1 where nothing is to shrink, and so at zero, where a size has no inverse
        bounded = spectrum * (self.contraction / jnp.maximum(size, self.contraction)).astype(spectrum.dtype)
        return DenseMap(bounded) if self.image is None else CircularMap(bounded, self.image[1])

    def methods(self) -> tuple[AbstractSolver, AbstractAdjoint]:
        """The cheapest iteration that the measured rate allows, for both."""
        tolerance = backward_tolerance(self.tolerance, self.polish, self._dtype() or self.b.dtype)
        return Measured(self.tolerance), adjoints.Measured(tolerance)


def _uniform(key: Array, fan_in: int, out: int, image: Any, kernel: int, dtype: Any) -> Array:
    """A matrix `(out, in)` or a kernel `(out, in, k, k)`, uniform in `+- 1 / sqrt(fan in)`."""
    if image is None:
        window: tuple[int, ...] = ()
    elif kernel % 2 == 0 or kernel > min(image):
        raise ValueError(f"kernel is {kernel}; it must be odd and fit into an image of {image}.")
    else:
        window = (kernel, kernel)
    dtype = jnp.result_type(float) if dtype is None else dtype
    bound = (fan_in * kernel ** len(window)) ** -0.5
    return jax.random.uniform(key, (out, fan_in, *window), dtype, -bound, bound)


def _bias(key: Array, fan_in: int, out: int, dtype: Any) -> Array:
    return jax.random.uniform(
        key, (out,), jnp.result_type(float) if dtype is None else dtype, -(fan_in**-0.5), fan_in**-0.5
    )
