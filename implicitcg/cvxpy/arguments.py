"""The arrays that a layer is called with: their shapes, their batch, and what their parameters declare."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..base import concrete_value, is_traced

if TYPE_CHECKING:
    import cvxpy


@dataclasses.dataclass(frozen=True, eq=False)
class DeclaredParameter:
    """What a layer keeps of a parameter: its name, its shape and its declared attributes."""

    name: str
    shape: tuple[int, ...]
    complex: bool
    attributes: tuple[str, ...]
    pattern: np.ndarray | None

    @staticmethod
    def of(parameter: cvxpy.Parameter, gp: bool) -> DeclaredParameter:
        """The record of a CVXPY parameter; those of geometric programs are positive."""
        given = [name for name in _CHECKS if parameter.attributes.get(name)]
        if gp and "pos" not in given:
            given.append("pos")
        pattern = None
        if parameter.attributes.get("sparsity"):
            pattern = np.zeros(parameter.shape, bool)
            pattern[parameter.sparse_idx] = True
        return DeclaredParameter(parameter.name(), parameter.shape, parameter.is_complex(), tuple(given), pattern)

    def __str__(self) -> str:
        return f"the parameter {self.name!r} of shape {self.shape}"

    def array(self, value: Any) -> Array:
        """`value` as a floating (or complex) array."""
        if value is None:
            raise TypeError(f"The value of {self} is None; an array of numbers is needed.")
        if not isinstance(value, jax.Array) and not is_traced(value):
            value = np.asarray(value)
            if value.dtype.kind not in "fiubc":
                raise TypeError(f"The value of {self} holds {value.dtype} entries, not numbers.")
        array = jnp.asarray(value)
        if jnp.iscomplexobj(array) and not self.complex:
            raise TypeError(f"The value of {self} is complex. Declare it `complex=True`, or take its real part.")
        return array if jnp.issubdtype(array.dtype, jnp.inexact) else array.astype(jnp.result_type(float))

    def batch(self, array: Array) -> tuple[int, ...]:
        """The leading axes of `array` that the parameter does not have."""
        extra = array.ndim - len(self.shape)
        if extra < 0 or array.shape[extra:] != self.shape:
            raise ValueError(
                f"The value of {self} has shape {array.shape}. It must be {self.shape}, or {self.shape} after leading "
                "batch axes. Values are given in the order of the list `parameters` of the layer."
            )
        return array.shape[:extra]

    def check(self, array: Array) -> None:
        """Raise `ValueError` where the values are known and are not finite or not as declared."""
        value = concrete_value(array)
        if value is None or not array.size:
            return
        value = np.asarray(value)
        if not np.all(np.isfinite(value)):
            bad = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0])
            raise ValueError(f"The value of {self} is not finite at index {bad}. Find out where it comes from.")
        tolerance = float(np.finfo(value.dtype).eps) ** 0.5 * float(np.max(np.abs(value)))
        for attribute in self.attributes:
            holds, remedy = _CHECKS[attribute]
            if not holds(value, tolerance):
                raise ValueError(f"The value of {self} is not {attribute}, as the parameter declares. {remedy}")
        if self.pattern is not None and np.any(value[..., ~self.pattern]):
            raise ValueError(f"The value of {self} has an entry outside the sparsity pattern that it declares.")


def batched(
    declared: Sequence[DeclaredParameter], values: Sequence[Any]
) -> tuple[tuple[int, ...], list[Array], list[bool]]:
    """The batch shape, the arrays (with the batch axes of each made one), and which of them are batched.

    Parameters come with or without the batch axes; all that have them must agree.
    """
    if len(values) != len(declared):
        names = ", ".join(repr(parameter.name) for parameter in declared)
        raise ValueError(
            f"The layer has {len(declared)} parameters ({names}), and was called with {len(values)} values."
        )
    arrays = [parameter.array(value) for parameter, value in zip(declared, values, strict=True)]
    batches = [parameter.batch(array) for parameter, array in zip(declared, arrays, strict=True)]
    for parameter, array in zip(declared, arrays, strict=True):
        parameter.check(array)
    shapes = {batch for batch in batches if batch}
    if len(shapes) > 1:
        told = ", ".join(f"{p.name!r} has {b}" for p, b in zip(declared, batches, strict=True) if b)
        raise ValueError(
            f"The batch axes of the parameters differ: {told}. All batched parameters need the same ones; give those "
            "that are shared by the whole batch without."
        )
    shape = shapes.pop() if shapes else ()
    size = int(np.prod(shape))
    flat = [a.reshape(size, *p.shape) if b else a for p, a, b in zip(declared, arrays, batches, strict=True)]
    return shape, flat, [bool(batch) for batch in batches]


def _transposed(value: np.ndarray) -> np.ndarray:
    return np.swapaxes(value, -1, -2)


def _symmetric(value: np.ndarray, tolerance: float) -> bool:
    return bool(np.all(np.abs(value - _transposed(value)) <= tolerance))


def _hermitian(value: np.ndarray, tolerance: float) -> bool:
    return bool(np.all(np.abs(value - _transposed(value).conj()) <= tolerance))


def _semidefinite(value: np.ndarray, tolerance: float) -> bool:
    """By Cholesky, which is ten times cheaper than eigenvalues."""
    if not _hermitian(value, tolerance):
        return False
    try:
        np.linalg.cholesky(value + (tolerance + np.finfo(value.dtype).tiny) * value.shape[-1] * np.eye(value.shape[-1]))
    except np.linalg.LinAlgError:
        return False
    return True


def _diagonal(value: np.ndarray, tolerance: float) -> bool:
    return bool(np.all(np.abs(value * (1 - np.eye(value.shape[-1]))) <= tolerance))


_SQUARE = "Parametrise it so that it is: `L @ L.T` is positive semidefinite for every matrix `L`."
_CHECKS: dict[str, tuple[Callable[[np.ndarray, float], bool], str]] = {
    "nonneg": (lambda v, t: bool(np.all(v >= -t)), "Use `jnp.exp` or `jax.nn.softplus` to keep a number positive."),
    "pos": (lambda v, t: bool(np.all(v > 0)), "Use `jnp.exp` or `jax.nn.softplus` to keep a number positive."),
    "nonpos": (lambda v, t: bool(np.all(v <= t)), "Use `-jnp.exp` or `-jax.nn.softplus` to keep a number negative."),
    "neg": (lambda v, t: bool(np.all(v < 0)), "Use `-jnp.exp` or `-jax.nn.softplus` to keep a number negative."),
    "symmetric": (_symmetric, "Take its symmetric part, `(S + S.T) / 2`."),
    "hermitian": (_hermitian, "Take its Hermitian part, `(H + H.conj().T) / 2`."),
    "PSD": (_semidefinite, _SQUARE),
    "NSD": (lambda v, t: _semidefinite(-v, t), _SQUARE.replace("`L @ L.T` is positive", "`-L @ L.T` is negative")),
    "diag": (_diagonal, "Give `jnp.diag(d)`."),
}
