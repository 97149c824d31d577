"""Activations that are proximal maps, so that an equilibrium layer is a monotone inclusion.

An activation `s` is nondecreasing and 1-Lipschitz exactly if it is `prox_g` of a convex `g`. Operator splitting with a
step `a` also needs `prox_{a g}`, which some activations have in closed form.
"""

from __future__ import annotations

import abc
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ..nonsmooth import relu
from .penalty import AbstractPenalty, AbstractSeparable


class AbstractActivation(eqx.Module):
    """A proximal map used as an activation."""

    @abc.abstractmethod
    def __call__(self, s: Array) -> Array:
        """`prox_g(s)`."""

    @abc.abstractmethod
    def prox(self, s: Array, step: Array) -> Array:
        """`prox_{step g}(s)`."""

    @property
    @abc.abstractmethod
    def any_step(self) -> bool:
        """Whether `prox` is known for every step, and not for 1 only."""

    @property
    @abc.abstractmethod
    def separable(self) -> bool:
        """Whether it acts entry by entry."""

    @abc.abstractmethod
    def distance(self, s: Array) -> Array:
        """How far every entry is from its kink: infinite where there is none, NaN where that is not known."""


class ReLU(AbstractActivation):
    """`max(s, 0)`, the projection on the orthant. Tie rule: the derivative at 0 is 0.

    >>> import jax.numpy as jnp
    >>> ReLU()(jnp.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __call__(self, s: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return relu(s)

    def prox(self, s: Array, step: Array) -> Array:
        """The same for every step."""
        del step
        return relu(s)

    @property
    def any_step(self) -> bool:
        return True

    @property
    def separable(self) -> bool:
        return True

    def distance(self, s: Array) -> Array:
        """`|s|`."""
        return jnp.abs(s)


class Prox(AbstractActivation):
    """The proximal map of any penalty or set of `icg.penalties`, on vectors: a soft threshold, a box, a simplex.

    >>> import jax.numpy as jnp, implicitcg as icg
    >>> Prox(icg.penalties.L1(0.5))(jnp.array([-1.0, 0.2])).tolist()
    [-0.5, 0.0]
    """

    penalty: AbstractPenalty

    def __call__(self, s: Float[Array, " n"]) -> Float[Array, " n"]:
        return self.prox(s, jnp.ones((), s.dtype))

    def prox(self, s: Array, step: Array) -> Array:
        """The penalty's own."""
        return self.penalty.prox(s, jnp.broadcast_to(jnp.asarray(step, s.dtype), s.shape))

    @property
    def any_step(self) -> bool:
        return True

    @property
    def separable(self) -> bool:
        return isinstance(self.penalty, AbstractSeparable)

    def distance(self, s: Array) -> Array:
        """What the penalty says of its blocks; unknown for penalties without blocks."""
        if isinstance(self.penalty, AbstractSeparable):
            return self.penalty.branches(s, jnp.ones_like(s)).distance
        return jnp.full_like(s, jnp.nan)


class Entrywise(AbstractActivation):
    """A smooth, nondecreasing, 1-Lipschitz function of every entry, such as `jnp.tanh`; its slope must not exceed 1.

    Splitting methods run with the step 1, the only one at which its prox is the function itself.

    >>> import jax.numpy as jnp
    >>> float(Entrywise(jnp.tanh)(jnp.array(0.0)))
    0.0
    """

    function: Callable[[Array], Array] = eqx.field(static=True)

    def __call__(self, s: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return self.function(s)

    def prox(self, s: Array, step: Array) -> Array:
        """The function itself, for the step 1."""
        del step
        return self.function(s)

    @property
    def any_step(self) -> bool:
        return False

    @property
    def separable(self) -> bool:
        return True

    def distance(self, s: Array) -> Array:
        """Infinite: a smooth function has no kink."""
        return jnp.full_like(s, jnp.inf)
