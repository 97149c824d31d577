"""Losses of a prediction against its target: scalars, averaged over samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

Loss = Callable[[Array, Array], Array]


def squared(prediction: Float[Array, "*n"], target: Float[Array, "*n"]) -> Float[Array, ""]:
    """`mean (prediction - target)^2`."""
    return jnp.mean(jnp.square(prediction - target))


def absolute(prediction: Float[Array, "*n"], target: Float[Array, "*n"]) -> Float[Array, ""]:
    """`mean |prediction - target|`; at a zero residual the derivative is 0."""
    residual = prediction - target
    return jnp.mean(residual * jax.lax.stop_gradient(jnp.sign(residual)))


def huber_loss(prediction: Float[Array, "*n"], target: Float[Array, "*n"]) -> Float[Array, ""]:
    """`mean h(prediction - target)`, with `h(r) = r^2 / 2` up to 1 and `|r| - 1/2` beyond."""
    size = jnp.abs(prediction - target)
    inside = jnp.minimum(size, 1)
    return jnp.mean(inside * (size - inside / 2))


def logistic(score: Float[Array, " n"], label: Float[Array, " n"]) -> Float[Array, ""]:
    """`mean log(1 + exp(-label score))`, labels in {-1, 1}."""
    return jnp.mean(jnp.logaddexp(-label * score, jnp.zeros_like(score)))


def hinge(score: Float[Array, " n"], label: Float[Array, " n"]) -> Float[Array, ""]:
    """`mean max(1 - label score, 0)`, labels in {-1, 1}; on the corner the derivative is 0."""
    slack = 1 - label * score
    return jnp.mean(slack * jax.lax.stop_gradient((slack > 0).astype(slack.dtype)))


CONVEX: dict[str, Loss] = {
    "squared": squared,
    "absolute": absolute,
    "huber": huber_loss,
    "logistic": logistic,
    "hinge": hinge,
}


def named(loss: str | Loss) -> Loss:
    """The loss of that name, or the callable itself.

    Raises:
        ValueError: an unknown name. TypeError: neither a name nor a callable.
    """
    if callable(loss):
        return loss
    if not isinstance(loss, str):
        raise TypeError(f"`loss` is a name or a callable (prediction, target) -> scalar, and is {loss!r}.")
    if loss not in CONVEX:
        raise ValueError(f"There is no loss called {loss!r}. Choose one of {', '.join(CONVEX)}, or pass a callable.")
    return CONVEX[loss]


def is_convex(loss: Loss) -> bool:
    """Whether the loss is known to be convex in the prediction; a callable of the user's is not known."""
    return any(loss is known for known in CONVEX.values())


def predict(value: Any, X: Float[Array, "n p"]) -> Array:
    """`X coef + intercept` for a solution that has an intercept, `X value` for plain coefficients.

    Raises:
        TypeError: the solution does not read as the coefficients of a linear model.
    """
    coef, intercept = (value.coef, value.intercept) if hasattr(value, "coef") else (value, None)
    if not hasattr(coef, "ndim") or coef.ndim == 0 or coef.shape[0] != X.shape[1]:
        shape = getattr(coef, "shape", type(coef).__name__)
        raise TypeError(
            f"The inner solution ({shape}) is not a vector of {X.shape[1]} coefficients, one for each column of the "
            "validation data, so it cannot predict. Check the number of columns, or write the criterion as a function "
            "of theta: `icg.tune(lambda theta: ..., theta0)`."
        )
    prediction = X @ coef
    return prediction if intercept is None else prediction + intercept
