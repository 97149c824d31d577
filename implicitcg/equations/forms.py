"""The LASSO and the elastic net: the one place that says whether a problem is one of them, and of which form.

Special solvers, paths and bounds stand on this form. It is told by the types of the loss and of the penalty, which are
what a problem declares, and never by values: a penalty of another type that happens to agree at some points is none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ..linear import AbstractDesign
from ..penalties import L1, ElasticNet, LeastSquares
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
        return not isinstance(self.loss.X, AbstractDesign)

    def by_feature(self) -> tuple[Float[Array, " p"], Float[Array, " p"]]:
        """`alpha` and `ridge`, one for each feature."""
        p, dtype = self.loss.dimension()
        ridge = 0.0 if self.ridge is None else self.ridge
        return jnp.broadcast_to(self.alpha, (p,)), jnp.broadcast_to(jnp.asarray(ridge, dtype), (p,))


def lasso_form(problem: Any) -> LassoForm | None:
    """The form of a LASSO or an elastic net; `None` for any other problem.

    A class of one's own that inherits from a loss or a penalty may change what it is, so only these classes count.
    """
    if not isinstance(problem, Composite) or type(problem.smooth) is not LeastSquares:
        return None
    penalty = problem.penalty
    if type(penalty) is L1:
        return LassoForm(problem.smooth, penalty.alpha, None)
    if type(penalty) is ElasticNet:
        return LassoForm(problem.smooth, penalty.alpha, penalty.ridge)
    return None
