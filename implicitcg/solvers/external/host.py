"""A solver that lives outside JAX, called back on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from ...base import Status
from ...core import AbstractProblem, AbstractSolver, Found


class HostSolver(AbstractSolver[AbstractProblem]):
    """Any Python function `problem -> z` on NumPy arrays, inside `jit`, `vmap` and derivatives.

    The derivative comes from the equation, so the function need not be differentiable, nor written in JAX. It is not
    trusted: the point counts as converged when the problem's residual says so.

    Args:
        function: takes the problem with NumPy leaves and returns the root, of the unknown's structure.
        tolerance: accept when `||F(z)||_inf <= tolerance (1 + ||z||_inf)`; `None` means `eps^{3/4}`.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> from sklearn.linear_model import Lasso
        >>> def scikit_learn(problem):
        ...     model = Lasso(float(problem.penalty.alpha), fit_intercept=False, tol=1e-7)
        ...     return model.fit(problem.smooth.X, problem.smooth.y).coef_
        >>> problem = icg.lasso(jnp.eye(2), jnp.array([2.0, 1.0]), 0.75)
        >>> icg.solve(problem, icg.solvers.external.HostSolver(scikit_learn)).value
        Array([0.5, 0. ], dtype=float32)
    """

    function: Callable[[Any], Any] = eqx.field(static=True)
    tolerance: float | None = eqx.field(static=True, default=None)

    def run(self, problem: AbstractProblem, init: Any) -> Found:
        z = on_host(self.function, problem, init)
        flat, _ = ravel_pytree(z)
        residual, _ = ravel_pytree(problem.residual(z))
        tolerance = float(jnp.finfo(flat.dtype).eps) ** 0.75 if self.tolerance is None else self.tolerance
        size = jnp.max(jnp.abs(residual), initial=0.0)
        close = size <= tolerance * (1 + jnp.max(jnp.abs(flat), initial=0.0))
        status = Status.where(close, Status.converged, Status.not_converged)
        return Found(z, Status.where(jnp.isfinite(size), status, Status.diverged), jnp.ones((), jnp.int32))


def on_host(function: Callable[[Any], Any], argument: PyTree, init: Any) -> Any:
    """`function(argument)` by callback, on NumPy leaves, of the structure, shapes and dtypes of `init`."""
    arrays, rest = eqx.partition(argument, eqx.is_array)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), init)

    def call(arrays: Any) -> Any:
        found = function(eqx.combine(jax.tree.map(np.asarray, arrays), rest))
        return jax.tree.map(lambda leaf, like: np.asarray(leaf, like.dtype).reshape(like.shape), found, shapes)

    return jax.pure_callback(call, shapes, arrays, vmap_method="sequential")
