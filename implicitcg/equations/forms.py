"""The LASSO and the elastic net: the one place that says whether a problem is one of them, and of which form.

Special solvers, paths and bounds stand on this form. The loss and the penalty declare it; it is never inferred from
values: a penalty that happens to agree with one at some points is none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ..penalties import AbstractShrinkage, LeastSquares
from .composite import Composite


class LassoForm(NamedTuple):
    """`min_w 1/2 sum_i s_i (y_i - x_i^T w - b)^2 + sum_j alpha_j |w_j| + ridge_j / 2 w_j^2`.

    Fields:
        loss: `X`, `y`, the weights of the samples, and whether `b` is fitted.
        alpha: of all features, or one for each.
        ridge: the same; `None` for the LASSO, which has none.
    """

    loss: LeastSquares
    alpha: Float[Array, "*p"]
    ridge: Float[Array, "*p"] | None

    @property
    def dense(self) -> bool:
        """Whether the features are an array."""
        return self.loss.X.dense

    def strengths(self) -> tuple[Any, Any]:
        """`alpha` and `ridge`, which is zero where there is none."""
        return self.alpha, 0.0 if self.ridge is None else self.ridge

    def by_feature(self) -> tuple[Float[Array, " p"], Float[Array, " p"]]:
        """`alpha` and `ridge`, one for each feature."""
        p, dtype = self.loss.dimension()
        alpha, ridge = self.strengths()
        return jnp.broadcast_to(alpha, (p,)), jnp.broadcast_to(jnp.asarray(ridge, dtype), (p,))


def lasso_form(problem: object) -> LassoForm | None:
    """The form of a LASSO or an elastic net, as its loss and its penalty declare it; `None` for any other problem."""
    if not isinstance(problem, Composite) or not isinstance(problem.smooth, LeastSquares):
        return None
    declared = problem.penalty.l1_and_ridge() if isinstance(problem.penalty, AbstractShrinkage) else None
    return None if declared is None else LassoForm(problem.smooth, *declared)
