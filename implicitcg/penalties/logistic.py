"""The logistic loss, with an intercept and sample weights."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int, PyTree

from ..base.checks import flag
from ..linear import AbstractDesign, design_matrix
from .smooth import AbstractSmooth, LinearModel


class Logistic(AbstractSmooth):
    """`f(w, b) = sum_i s_i log(1 + exp(-y_i (x_i^T w + b)))`, with labels `y` in {-1, 1}.

    The weights `s` are the sample weights divided by their sum, and `1/n` where none are given. With `fit_intercept`
    the intercept `b` is the last coordinate of the unknown, and a penalty should leave it alone (`alpha` 0 there).
    """

    X: AbstractDesign = eqx.field(converter=design_matrix)
    y: Float[Array, " n"]
    fit_intercept: bool = eqx.field(static=True, default=False, converter=partial(flag, name="fit_intercept"))
    sample_weight: Float[Array, " n"] | None = None

    def weights(self) -> Float[Array, " n"]:
        """`s`, summing to one."""
        if self.sample_weight is None:
            return jnp.full_like(self.y, 1 / self.y.shape[0])
        return self.sample_weight / jnp.sum(self.sample_weight)

    def predictor(self, z: Float[Array, " d"]) -> Float[Array, " n"]:
        """`X w + b`."""
        return self.X @ z[:-1] + z[-1] if self.fit_intercept else self.X @ z

    def transposed(self, r: Float[Array, " n"]) -> Float[Array, " d"]:
        """`(X^T r, sum r)`."""
        return jnp.append(r @ self.X, jnp.sum(r)) if self.fit_intercept else r @ self.X

    def forces(self, z: Float[Array, " d"]) -> Float[Array, " n"]:
        """`s_i y_i / (1 + exp(y_i eta_i))`, minus the derivative of the loss in the predictor: the dual."""
        return self.weights() * self.y * jax.nn.sigmoid(-self.y * self.predictor(z))

    def bend(self, z: Float[Array, " d"]) -> Float[Array, " n"]:
        """The second derivative of the loss in the predictor."""
        margin = self.y * self.predictor(z)
        return self.weights() * jnp.square(self.y) * jax.nn.sigmoid(margin) * jax.nn.sigmoid(-margin)

    def value(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        """The weighted mean of `log(1 + exp(-margin))`."""
        return jnp.sum(self.weights() * jax.nn.softplus(-self.y * self.predictor(z)))

    def gradient(self, z: Float[Array, " d"]) -> Float[Array, " d"]:
        """`-X^T forces`."""
        return -self.transposed(self.forces(z))

    def hessian_product(self, z: Float[Array, " d"], v: Float[Array, " d"]) -> Float[Array, " d"]:
        """`X^T diag(bend) X v`."""
        return self.transposed(self.bend(z) * self.predictor(v))

    def hessian_block(self, z: Float[Array, " d"], index: Int[Array, " c"]) -> Float[Array, "c c"]:
        """`X_I^T diag(bend) X_I`; the column of the intercept is constant."""
        p, bend = self.X.shape[1], self.bend(z)
        inside = jnp.minimum(index, p - 1)
        block = self.X.gram(inside, bend, False)
        if not self.fit_intercept:
            return block
        constant = index == p
        border = jnp.where(constant, jnp.sum(bend), (bend @ self.X)[inside])
        block = jnp.where(constant[:, None], border[None, :], block)
        return jnp.where(constant[None, :], border[:, None], block)

    def curvature(self) -> Float[Array, " d"]:
        """`sum_i s_i x_ij^2 / 4`, since the loss bends by at most a quarter; 1 for an empty column."""
        X, s = lax.stop_gradient((self.X, self.weights()))
        squares = X.column_squares(s) / 4
        squares = jnp.append(squares, jnp.sum(s) / 4) if self.fit_intercept else squares
        return jnp.where(squares > 0, squares, 1)

    def fenchel(self, z: Float[Array, " d"], tau: Float[Array, ""]) -> Float[Array, ""]:
        """The loss plus the negative entropy of `tau / (1 + exp(margin))`."""
        share = tau * jax.nn.sigmoid(-self.y * self.predictor(z))
        entropy = jax.scipy.special.xlogy(share, share) + jax.scipy.special.xlogy(1 - share, 1 - share)
        return self.value(z) + jnp.sum(self.weights() * entropy)

    def invalid(self) -> Array:
        """Whether a label is not -1 or 1 (up to 1e-3, so that differences in `y` may be taken), or a weight is bad."""
        s = self.weights()
        return jnp.any(jnp.abs(jnp.abs(self.y) - 1) > 1e-3) | jnp.any(s < 0) | ~(jnp.sum(s) > 0)

    def dimension(self) -> tuple[int, jnp.dtype]:
        """`p`, and one more for the intercept."""
        return self.X.shape[1] + int(self.fit_intercept), self.X.dtype

    def present(self, z: Float[Array, " d"]) -> tuple[PyTree, PyTree | None]:
        """The coefficients (with the intercept, where one is fitted) and the dual."""
        return (LinearModel(z[:-1], z[-1]) if self.fit_intercept else z), self.forces(z)
