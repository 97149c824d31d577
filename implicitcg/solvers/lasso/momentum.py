"""Proximal gradient with momentum for the LASSO: what is left where a support outgrows every factor."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from ...base import while_loop
from .quadratic_loss import QuadraticLoss, relative_gap


class Iterate(NamedTuple):
    """A point with the gradient and value of the loss there, the relative duality gap, and the steps taken."""

    w: Float[Array, " p"]
    gradient: Float[Array, " p"]
    value: Float[Array, ""]
    gap: Float[Array, ""]
    steps: Int[Array, ""]


class _State(NamedTuple):
    at: Iterate
    before: Iterate
    momentum: Float[Array, ""]
    largest: Float[Array, ""]


def accelerated(loss: QuadraticLoss, start: Iterate, tolerance: float, max_steps: int) -> Iterate:
    """From `start` to a relative duality gap of `tolerance`, or as far as `max_steps` lead.

    A step costs one product with `X` and one with its transpose: the gradient is affine, so that at the point that
    momentum leads to it is known from those at the last two iterates. In units in which the Hessian has diagonal one,
    its largest eigenvalue is estimated from the curvature that steps have met. A step that meets more than the estimate
    is taken back; one that momentum leads uphill begins it anew.

    Source: Beck, Teboulle, A fast iterative shrinkage-thresholding algorithm, SIAM J. Imaging Sciences 2009;
    O'Donoghue, Candes, Adaptive restart for accelerated gradient schemes, 2015.
    """
    square = jnp.square(loss.unit)

    def unfinished(state: _State) -> Bool[Array, ""]:
        return (state.at.gap > tolerance) & (state.at.steps < max_steps)

    def advance(state: _State) -> _State:
        at, before = state.at, state.before
        grown = (1 + jnp.sqrt(1 + 4 * jnp.square(state.momentum))) / 2
        weight = (state.momentum - 1) / grown
        ahead = at.w + weight * (at.w - before.w)
        gradient = at.gradient + weight * (at.gradient - before.gradient)
        size = square / state.largest
        moved = ahead - size * gradient
        w = jnp.sign(moved) * jnp.maximum(jnp.abs(moved) - size * loss.threshold, 0)
        new = Iterate(w, loss.gradient(w), loss.value(w), at.gap, at.steps + 1)
        step = w - ahead
        length = jnp.sum(jnp.square(step) / square)
        curvature = jnp.vdot(step, new.gradient - gradient) / jnp.where(length > 0, length, 1)
        # the difference of gradients is known to rounding only, which counts where the step is small
        noise = jnp.finfo(w.dtype).eps * jnp.vdot(jnp.abs(step), jnp.abs(gradient)) / jnp.where(length > 0, length, 1)
        steep = curvature > 1.01 * state.largest + 10 * noise
        uphill = jnp.vdot(-step / square, w - at.w) > 0
        new = new._replace(gap=relative_gap(loss, w, new.gradient, new.value))
        kept = at._replace(steps=at.steps + 1), before
        point, previous = jax.tree.map(lambda old, now: jnp.where(steep, old, now), kept, (new, at))
        momentum = jnp.where(steep | uphill, 1, grown)
        return _State(point, previous, momentum, jnp.where(steep, 1.2 * curvature, state.largest))

    one = jnp.ones((), start.w.dtype)
    return while_loop(unfinished, advance, _State(start, start, one, 2 * one)).at
