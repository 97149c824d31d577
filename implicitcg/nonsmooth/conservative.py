"""`conservative_jacobian`: every Jacobian that another choice of branches at the kinks would give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .elements import Programs
from .jacobian_set import JacobianSet


def conservative_jacobian(
    fn: Callable[..., Any], x: Any, *, tol: float = 0.0, max_elements: int = 4096, seed: int = 0
) -> JacobianSet:
    """Return the elements of a conservative Jacobian of `fn` at `x`, one for each choice of branches at its kinks.

    The derivative program of `fn` is written out once, through `jit`, loops, branches and `icg.solve`. At the kinks
    that `x` sits on, to within `tol`, all combinations of branches are evaluated when there are at most `max_elements`
    of them, and otherwise a sample. A kink used in several places is one choice.

    Arguments:
        fn: a function of one array or tree of arrays, returning one array.
        x: a concrete point.
        tol: how near counts as on the kink, in the units of its own argument (`u` for `relu(u)`, `a - b` for
            `maximum(a, b)`). A point found by an iteration needs its error here.
        max_elements: how many combinations are evaluated at most.
        seed: of the sample, when one is taken.

    Returns: a `JacobianSet`.

    Raises: `ValueError` where an element is not finite: the program is not locally Lipschitz at `x`, as `sqrt` at zero.

    A `while_loop` whose steps meet the same kink several times takes the same branch in all of them, and the result is
    then not called exhaustive. The gradient of a norm at the origin is a ball, and is sampled at its poles.

    >>> import jax, jax.numpy as jnp
    >>> conservative_jacobian(lambda x: jax.nn.relu(-x) - jax.nn.relu(x) + x + 1 / 3, 0.0).vertices.tolist()
    [1.0, 0.0, -1.0]

    Source: Bolte, Pauwels, A mathematical model for automatic differentiation in machine learning, NeurIPS 2020.
    """
    return conservative_jacobians(fn, tol=tol, max_elements=max_elements, seed=seed)(x)


def conservative_jacobians(
    fn: Callable[..., Any], *, tol: float = 0.0, max_elements: int = 4096, seed: int = 0
) -> Callable[..., JacobianSet]:
    """`conservative_jacobian` at many points of the same shapes: `fn` is traced and compiled once.

    Arguments:
        fn: a function of one array or tree of arrays, and perhaps further arguments that are not differentiated.
        tol: see `conservative_jacobian`.
        max_elements: see `conservative_jacobian`.
        seed: see `conservative_jacobian`.

    Returns: a function `(x, *data) -> JacobianSet`. What `fn` closes over is read at the first call, as under `jit`.

    >>> import jax, jax.numpy as jnp
    >>> elements = conservative_jacobians(lambda x, t: jax.nn.relu(x - t))
    >>> [elements(x, 1.0).vertices.tolist() for x in (0.0, 1.0)]
    [[0.0], [0.0, 1.0]]
    """
    programs = Programs(fn)

    def at(x: Any, *data: Any) -> JacobianSet:
        x, data = jax.tree_util.tree_map(jnp.asarray, (x, data))
        return programs.at(x, *data, tol=tol).enumerated(x, max_elements, seed)

    return at
