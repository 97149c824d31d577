"""Fixed points and roots of user functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, Self, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ..base import close_over
from ..base.checks import floating
from ..core import AbstractProblem

Z = TypeVar("Z")


class AbstractFunctionEquation(AbstractProblem[Z], Generic[Z]):
    """An equation made of a function of the user's, of the unknown and `args`."""

    function: eqx.AbstractVar[Callable[..., Z]]
    args: eqx.AbstractVar[tuple[PyTree, ...]]
    door: ClassVar[str]  # the function of `icg` that builds it

    def initial(self) -> Z:
        """Zeros of the shape that the function maps to itself, guessed from its first argument."""
        return _guess(self.function, self.args, self.door)

    def start(self, init: Any) -> Z:
        """`init`, checked to be a point that the function maps to its own structure, or the default for `None`."""
        return self.initial() if init is None else _checked(self.function, init, self.args)

    def closed(self, init: Z | None) -> Self:
        """The same problem with the arrays that the function closes over made leaves."""
        function = close_over(self.function, self.start(init), *self.args)
        return eqx.tree_at(lambda p: p.function, self, function, is_leaf=lambda leaf: leaf is self.function)


class Root(AbstractFunctionEquation[Z], Generic[Z]):
    """`F(z, *args) = 0`; build it with `icg.root`."""

    function: Callable[..., Z]
    args: tuple[PyTree, ...]
    door: ClassVar[str] = "root"

    def residual(self, z: Z) -> Z:
        """`F(z, *args)`."""
        return self.function(z, *self.args)


class FixedPoint(AbstractFunctionEquation[Z], Generic[Z]):
    """`z = f(z, *args)`, as the equation `z - f(z, *args) = 0`; build it with `icg.fixed_point`."""

    function: Callable[..., Z]
    args: tuple[PyTree, ...]
    door: ClassVar[str] = "fixed_point"

    def residual(self, z: Z) -> Z:
        """`z - f(z, *args)`."""
        return jax.tree.map(jnp.subtract, z, self.function(z, *self.args))


def root(F: Callable[..., Z], *args: PyTree) -> Root[Z]:
    """The problem `F(z, *args) = 0` for a path differentiable `F`.

    Args:
        F: any JAX function of the unknown `z` (a pytree) and `args`, returning the structure of `z`. Arrays it closes
            over are differentiated too, and variables outside that it names are read anew at every call; attributes of
            objects are not: pass what changes there in `args`.
        *args: pytrees of parameters.

    Returns:
        A problem for `icg.solve`, which starts from `init`, or from zeros where their shape can be inferred.

    Example:
        >>> import jax, implicitcg as icg
        >>> square_root = lambda a: icg.solve(icg.root(lambda z, a: z**2 - a, a), init=1.0).value
        >>> float(jax.grad(square_root)(4.0))
        0.25

    Source: Bolte, Le, Pauwels, Silveti-Falls, NeurIPS 2021.
    """
    return Root(_callable(F, "F"), _as_arrays(args))


def fixed_point(f: Callable[..., Z], *args: PyTree) -> FixedPoint[Z]:
    """The problem `z = f(z, *args)` for a path differentiable `f`.

    Args:
        f: any JAX function of the unknown `z` (a pytree) and `args`, returning the structure of `z`. Arrays it closes
            over are differentiated too, and variables outside that it names are read anew at every call; attributes of
            objects are not: pass what changes there in `args`.
        *args: pytrees of parameters.

    Returns:
        A problem for `icg.solve`, which starts from `init`, or from zeros where their shape can be inferred.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> equilibrium = lambda t: icg.solve(icg.fixed_point(lambda z, t: jnp.abs(z) / 2 + t, t)).value
        >>> float(jax.grad(equilibrium)(1.0))
        2.0

    Source: Bolte, Le, Pauwels, Silveti-Falls, NeurIPS 2021.
    """
    return FixedPoint(_callable(f, "f"), _as_arrays(args))


def _callable(function: Any, name: str) -> Any:
    if not callable(function):
        raise TypeError(
            f"{name} must be a function of the unknown and the arguments, and is a {type(function).__name__}."
        )
    return function


def _as_arrays(args: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
    """Python numbers as arrays, so that they are parameters; everything else as it is."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, float) else leaf, args)


def _checked(function: Callable, init: Any, args: tuple[PyTree, ...]) -> Any:
    """`init` as arrays, once the function is seen to keep its structure, shapes and dtypes."""
    start = jax.tree.map(lambda leaf: floating(leaf, "init"), init)
    image = eqx.filter_eval_shape(function, start, *args)
    if _shapes(image) != _shapes(start):
        raise ValueError(
            f"the function maps a point of shapes {_shapes(start)} to shapes {_shapes(image)}; it must keep the "
            "structure, shapes and dtypes of the unknown. Correct the function, or `init`."
        )
    return start


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (tuple(leaf.shape), str(leaf.dtype)), tree)


def _guess(function: Callable, args: tuple[PyTree, ...], name: str) -> Any:
    """Zeros of a structure that `function` maps to itself: that of its first argument, or of what comes out of it."""
    advice = (
        f"the starting point of icg.{name} cannot be inferred. Pass one of the right shape and dtype: "
        f"`icg.solve(icg.{name}(...), init=jnp.zeros(...))`."
    )
    candidate: Any = next((arg for arg in args if jax.tree.leaves(arg)), jnp.zeros(()))
    for _ in range(2):
        try:
            start = jax.tree.map(lambda leaf: jnp.zeros(jnp.shape(leaf), floating(leaf, "argument").dtype), candidate)
            image = eqx.filter_eval_shape(function, start, *args)
        except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
            raise ValueError(
                f"{advice} (The function fails on a point shaped like its first argument: {error})"
            ) from error
        if _shapes(image) == _shapes(start):
            return start
        candidate = image
    raise ValueError(advice)
