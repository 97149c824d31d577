"""A quadratic program as a layer with learnable data."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, PRNGKeyArray

from ..equations.quadratic_program import QP, qp
from ..solving import solve


class QuadraticLayer(eqx.Module):
    """The minimiser of a quadratic program whose data are learned: an OptNet layer.

    `z(q) = argmin_z 1/2 z^T (L L^T + ridge I) z + q^T z` subject to `A z = A c`, `G z <= G c + softplus(s)`. The centre
    `c` is strictly feasible and the objective strictly convex, so that there is one solution whatever is learned. The
    arrays are leaves: train all of them, or freeze some with `eqx.partition`.

    Args:
        variables: `n`, the length of input and output.
        inequalities: `m`, rows of `G`.
        equalities: `e`, rows of `A`.
        ridge: the least curvature of the objective.
        dtype: of the arrays.
        key: for the initial `A` and `G`, whose rows have length one on average; `L` is the identity, `c` zero, `s` such
            that the constraints are at a distance of about one.

    Raises:
        ValueError: a size that is negative, or no variable.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> layer = icg.QuadraticLayer(3, inequalities=4, key=jax.random.key(0))
        >>> jax.vmap(layer)(jnp.zeros((5, 3))).shape
        (5, 3)

    Source: Amos, Kolter, OptNet: differentiable optimization as a layer in neural networks, ICML 2017.
    """

    root: Float[Array, "n n"]
    centre: Float[Array, " n"]
    A: Float[Array, "e n"]
    G: Float[Array, "m n"]
    room: Float[Array, " m"]
    ridge: float = eqx.field(static=True)

    def __init__(
        self,
        variables: int,
        inequalities: int = 0,
        equalities: int = 0,
        *,
        ridge: float = 1e-3,
        dtype: jnp.dtype | None = None,
        key: PRNGKeyArray,
    ):
        if variables < 1 or inequalities < 0 or equalities < 0:
            raise ValueError(
                f"A layer needs at least one variable and no negative number of constraints, and got {variables} "
                f"variables, {inequalities} inequalities, {equalities} equalities."
            )
        dtype = jnp.result_type(float) if dtype is None else dtype
        for_A, for_G = jax.random.split(key)
        size = variables**-0.5
        self.root, self.centre = jnp.eye(variables, dtype=dtype), jnp.zeros(variables, dtype)
        self.A = size * jax.random.normal(for_A, (equalities, variables), dtype)
        self.G = size * jax.random.normal(for_G, (inequalities, variables), dtype)
        self.room, self.ridge = jnp.full(inequalities, 0.5413, dtype), ridge  # softplus(0.5413) = 1

    def problem(self, q: Float[Array, " n"]) -> QP:
        """The quadratic program at an input, for `icg.solve` and `icg.certify`."""
        n = len(self.centre)
        P = self.root @ self.root.T + self.ridge * jnp.eye(n, dtype=self.root.dtype)
        return qp(P, q, self.A, self.A @ self.centre, self.G, self.limits())

    def limits(self) -> Float[Array, " m"]:
        """The right-hand sides `h` of the inequalities."""
        return self.G @ self.centre + jax.nn.softplus(self.room)

    def __call__(self, q: Float[Array, " n"]) -> Float[Array, " n"]:
        """The minimiser; a batch by `jax.vmap`."""
        return solve(self.problem(q)).value
