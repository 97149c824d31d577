"""What `solve` returns."""

from __future__ import annotations

from typing import Generic, TypeVar

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int, PyTree

from ..base import Status, is_traced

Z = TypeVar("Z")


class Solution(eqx.Module, Generic[Z]):
    """What `solve` returns. Only `value` and `dual` carry derivatives.

    `status` is an enumeration whose texts are advice (`icg.Status[status]`), `residual` the Euclidean norm of the
    optimality residual `F(z)`, `gap` the duality gap relative to the objective at zero (or `None`), `iterations` the
    steps of the solver, and `root` the unknown of the equation, of which `value` is the user's view.
    """

    value: PyTree
    dual: PyTree | None
    status: Status
    residual: Float[Array, ""]
    iterations: Int[Array, ""]
    gap: Float[Array, ""] | None
    root: Z

    def __str__(self) -> str:
        if is_traced(self) or jnp.ndim(self.residual) != 0:
            return repr(self)
        gap = "" if self.gap is None else f", relative duality gap {float(self.gap):.1e}"
        return (
            f"{Status[self.status]}\n"
            f"  {int(self.iterations)} iterations, residual {float(self.residual):.1e}{gap}\n"
            f"  value {self.value}"
        )

    @property
    def converged(self) -> Bool[Array, ""]:
        """Whether the solver reached its tolerance."""
        return self.status == Status.converged
