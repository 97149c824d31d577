"""The ridge method: descent on `f(x) = max_y g(x, y)` (or `min_y`) by elements of the joint conservative field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..base import is_traced
from ..nonsmooth import conservative_jacobians, nearest_to_origin


class RidgeElement(NamedTuple):
    """`v` with `(v, w)` in the conservative gradient of `g` at `(x, y)` and `w` the smallest inner part found.

    `inner` is `||w||`; the element counts where it is zero to rounding. `elements` is how many vertices were examined:
    1 where automatic differentiation's own element had `w = 0` already.
    """

    v: PyTree
    inner: float
    elements: int


def ridge_element(
    g: Callable[[Any, Any], Float[Array, ""]],
    x: PyTree,
    y: PyTree,
    *,
    tol: float = 0.0,
    inner_tol: float | None = None,
    max_elements: int = 4096,
) -> RidgeElement:
    """An element `v` of the conservative gradient of `f(x) = max_y g(x, y)` at `x`, for `y` in the argmax.

    The set `{v : (v, 0) in conv J_g(x, y), y in argmax}` is a conservative gradient of `f`. The zero has to come from
    the *same element* as `v`: the partial derivative `d_x g(x, y)` alone, whatever the tie rule, is an element of
    nothing. Here the vertices at the kinks of `g` are enumerated and mixed so that the inner part vanishes.

    Args:
        g: a scalar JAX function of two pytrees.
        x: the outer point.
        y: a maximiser (or minimiser) of `g(x, .)`.
        tol: how near counts as on a kink, in the units of its argument; give the error of the inner solve.
        inner_tol: how small the inner part must be, relative to `1 +` the largest vertex; `None` takes `eps^{1/2}`.
        max_elements: see `icg.conservative_jacobian`.

    Returns:
        A `RidgeElement`.

    Raises:
        ValueError: no mixture of the vertices has an inner part of zero: `y` is not a critical point of `g(x, .)`, or
            `tol` is smaller than its error.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> g = lambda x, y: -jnp.abs(x - y) + x**2 / 10  # its maximum over y is x^2 / 10
        >>> round(float(icg.optim.ridge_element(g, 3.0, 3.0).v), 6)
        0.6

    Source: Pauwels, Conservative parametric optimality and the ridge method for tame min-max problems, 2023.
    """
    return _elements(g, tol, inner_tol, max_elements)(x, y)[1]


def ridge_method(
    g: Callable[..., Float[Array, ""]],
    inner: Callable[..., Any],
    *,
    tol: float = 0.0,
    inner_tol: float | None = None,
    max_elements: int = 4096,
) -> Callable[..., tuple[Float[Array, ""], PyTree]]:
    """Value and conservative gradient of `f(x) = max_y g(x, y)` or `min_y g(x, y)`, to feed any Optax optimiser.

    Args:
        g: a scalar JAX function of two pytrees, and perhaps further arrays, such as a mini-batch.
        inner: `(x, *data) -> y`, a maximiser (or minimiser) of `g(x, ., *data)`, by any means; it is not
            differentiated.
        tol: see `ridge_element`.
        inner_tol: see `ridge_element`.
        max_elements: see `ridge_element`.

    Returns:
        A function `(x, *data) -> (f(x), v)`. Call it outside `jit`: how many kinks there are depends on the values. `g`
        is compiled once for equal shapes; what it closes over is read at the first call.

    Example:
        >>> import jax.numpy as jnp, optax, implicitcg as icg
        >>> g = lambda x, y: -jnp.abs(x - y) + x**2 / 10
        >>> method, x = optax.sgd(icg.optim.vanishing_steps(2.0)), jnp.array(4.0)
        >>> value_and_gradient, state = icg.optim.ridge_method(g, inner=lambda x: x), method.init(x)
        >>> for _ in range(50):
        ...     updates, state = method.update(value_and_gradient(x)[1], state)
        ...     x = optax.apply_updates(x, updates)
        >>> bool(abs(x) < 0.05)
        True

    Source: Pauwels, Conservative parametric optimality and the ridge method for tame min-max problems, 2023.
    """
    elements = _elements(g, tol, inner_tol, max_elements)

    def value_and_gradient(x: PyTree, *data: PyTree) -> tuple[Float[Array, ""], PyTree]:
        value, element = elements(x, inner(x, *data), *data)
        return value, element.v

    return value_and_gradient


def _elements(
    g: Callable[..., Float[Array, ""]], tol: float, inner_tol: float | None, max_elements: int
) -> Callable[..., tuple[Float[Array, ""], RidgeElement]]:
    """`(x, y, *data) -> (g, element)`, with the parts that compile made once."""
    value_and_gradients = jax.jit(jax.value_and_grad(g, argnums=(0, 1)))
    sets = conservative_jacobians(lambda both, *data: g(*both, *data), tol=tol, max_elements=max_elements)

    def at(x: PyTree, y: PyTree, *data: PyTree) -> tuple[Float[Array, ""], RidgeElement]:
        x, y, data = jax.tree.map(jnp.asarray, (x, y, data))
        if is_traced((x, y, data)):
            raise TypeError(
                "The ridge method looks at the kinks of concrete points and was called inside a JAX transformation. "
                "Call it outside jit and vmap: it compiles g itself, and the inner solver may be compiled too."
            )
        value, plain = value_and_gradients(x, y, *data)
        dtype = jnp.result_type(*jax.tree.leaves((x, y)))
        small = float(jnp.finfo(dtype).eps) ** 0.5 if inner_tol is None else inner_tol
        if _norm(plain[1]) <= small * (1 + _norm(plain)):
            return value, RidgeElement(plain[0], _norm(plain[1]), 1)
        return value, _mixture(sets((x, y), *data).vertices, small, tol)

    return at


def _mixture(vertices: tuple[PyTree, PyTree], small: float, tol: float) -> RidgeElement:
    """The mixture of the vertices whose inner part is the smallest, if that is zero to rounding."""
    outer, inner = (_rows(part) for part in vertices)
    nearest, weights = nearest_to_origin(inner)
    size = float(np.linalg.norm(nearest))
    largest = float(np.sqrt((outer**2).sum(1) + (inner**2).sum(1)).max())
    if size > small * (1 + largest):
        raise ValueError(
            f"No element of the conservative gradient at this point has a vanishing inner part: the smallest of "
            f"{len(inner)} vertices' mixtures has norm {size:.3g}. Solve the inner problem more tightly, raise `tol` "
            f"(now {tol}) to the error of `y`, so that the kinks it sits on are seen, or write constraints on y as a "
            "projection inside g."
        )
    mixed = jax.tree.map(lambda rows: jnp.tensordot(jnp.asarray(weights, rows.dtype), rows, 1), vertices[0])
    return RidgeElement(mixed, size, len(inner))


def _rows(vertices: PyTree) -> np.ndarray:
    leaves = [np.asarray(leaf, float) for leaf in jax.tree.leaves(vertices)]
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], 1)


def _norm(tree: PyTree) -> float:
    return float(jnp.sqrt(sum((jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)), jnp.zeros(()))))
