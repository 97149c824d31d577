"""Checks of what a user passes in: static faults raise at the call, with the argument's name."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array
from jax.experimental.sparse import JAXSparse

from .tracing import concrete_value, concretely, is_traced


def floating(x: Any, name: str, dtype: Any = None) -> Array:
    """`x` as a floating-point JAX array: floats keep their dtype, integers and booleans become the default float."""
    if x is None:
        raise TypeError(f"{name} is None; an array of numbers is needed.")
    if scipy.sparse.issparse(x) or isinstance(x, JAXSparse):
        raise TypeError(
            f"{name} is a sparse matrix ({type(x).__name__}), and this takes dense arrays only. Sparse designs are for "
            "the LASSO family and sparse_logistic; `.toarray()` or `.todense()` fills a small one."
        )
    if isinstance(x, eqx.Module):
        raise TypeError(f"{name} is a {type(x).__name__}, and this takes arrays only.")
    if not isinstance(x, jax.Array) and not is_traced(x):
        x = np.array(x)  # lists, data frames: NumPy knows them all; what is put may share its memory
        if x.dtype.kind not in "fiubc":
            raise TypeError(
                f"{name} holds {x.dtype} entries, not numbers. Convert text columns to numbers or drop them, and "
                "replace missing entries."
            )
    # `jnp.asarray` compiles a program for every shape of a NumPy array
    array = jax.device_put(x) if isinstance(x, np.ndarray) else jnp.asarray(x)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"{name} is complex ({array.dtype}); only real arrays are supported.")
    if dtype is not None:
        return array.astype(dtype)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.result_type(float))


def matching_dtype(*arrays: Array) -> list[Array]:
    """The arrays promoted to their common floating dtype, explicitly, so that strict promotion holds afterwards."""
    dtype = jnp.result_type(*[array.dtype for array in arrays])
    return [array.astype(dtype) for array in arrays]


def design(X: Any, y: Any) -> tuple[Array, Array]:
    """A design matrix `(n, p)` and its response `(n,)`, checked for shape and, where known, for finite entries."""
    X, y = matching_dtype(floating(X, "X"), floating(y, "y"))
    response(X.shape, y)
    require_finite(X, "X")
    require_finite(y, "y")
    return X, y


def response(shape: tuple[int, ...], y: Array) -> None:
    """Raise where `y` is no response `(n,)` of a design matrix of this `shape` and its dtype."""
    if jnp.finfo(y.dtype).bits < 32:
        raise TypeError(
            f"X and y are {y.dtype}: half precision is too coarse to factorise in, or to tell an active feature. "
            "Convert one of them, `X.astype(jnp.float32)`; the result may be cast back."
        )
    if len(shape) != 2:
        raise ValueError(f"X has shape {shape}; a matrix of shape (n, p) is needed: n samples by p features.")
    if y.ndim != 1:
        raise ValueError(f"y has shape {y.shape}; a vector of shape (n,) is needed. Use `y.ravel()` for one column.")
    if shape[0] != y.shape[0]:
        raise ValueError(f"X has {shape[0]} rows and y has {y.shape[0]} entries; they must be the same n samples.")
    if 0 in shape:
        raise ValueError(f"X has shape {shape}: there is no sample or no feature to fit.")


def responses(shape: tuple[int, ...], Y: Array) -> None:
    """As `response`, for `Y` of shape `(n, t)`."""
    if Y.ndim != 2 or Y.shape[1] == 0:
        raise ValueError(f"Y has shape {Y.shape}; a matrix of shape (n, t) is needed, a column a task.")
    response(shape, Y[:, 0])


def require_finite(x: Array, name: str) -> None:
    """Raise `ValueError` where `x` is known to hold NaN or infinite entries; a traced `x` passes."""
    if concretely(lambda value: (abs(value) < math.inf).all(), x) is not False:
        return
    bad = np.argwhere(~np.isfinite(np.asarray(concrete_value(x))))
    first = tuple(int(i) for i in bad[0])
    raise ValueError(
        f"{name} has {len(bad)} NaN or infinite {'entry' if len(bad) == 1 else 'entries'}, the first at index {first}. "
        "Drop or impute them before solving."
    )


def penalty_strength(alpha: Any, p: int, dtype: Any, name: str = "alpha", per: str = "feature") -> Array:
    """A penalty of shape `()` or `(p,)` (one `per` feature or group), nonnegative and finite where known."""
    alpha = floating(alpha, name, dtype)
    if alpha.shape not in ((), (p,)):
        raise ValueError(f"{name} has shape {alpha.shape}; a scalar or one value per {per}, shape ({p},), is needed.")
    if concretely(lambda value: (abs(value) < math.inf).all(), alpha) is False:
        raise ValueError(f"{name} is not finite ({concrete_value(alpha)}); give a finite number >= 0.")
    if concretely(lambda value: (value >= 0).all(), alpha) is False:
        smallest = float(np.min(np.asarray(concrete_value(alpha))))
        raise ValueError(
            f"{name} is negative (smallest {smallest:g}); a penalty is >= 0. Tune its logarithm to keep it positive: "
            f"`{name} = jnp.exp(theta)`."
        )
    return alpha


def sample_weight(weights: Any, n: int, dtype: Any) -> Array | None:
    """Sample weights of shape `(n,)`, nonnegative and not all zero where their values are known; `None` stays."""
    if weights is None:
        return None
    weights = floating(weights, "sample_weight", dtype)
    if weights.shape != (n,):
        raise ValueError(f"sample_weight has shape {weights.shape}; one weight per sample, shape ({n},), is needed.")
    require_finite(weights, "sample_weight")
    if concretely(lambda value: (value >= 0).all(), weights) is False:
        smallest = float(np.min(np.asarray(concrete_value(weights))))
        raise ValueError(f"sample_weight has a negative entry (smallest {smallest:g}); weights are >= 0.")
    if concretely(lambda value: (value > 0).any(), weights) is False:
        raise ValueError("sample_weight is zero everywhere: there is no sample to fit.")
    return weights


def number(x: Any, name: str, dtype: Any, *, above: float | None = None, least: float | None = None) -> Array:
    """A finite scalar, greater than `above` or at least `least` where its value is known."""
    x = floating(x, name, dtype)
    if x.shape != ():
        raise ValueError(f"{name} has shape {x.shape}; a scalar is needed.")
    if concretely(lambda value: abs(value) < math.inf, x) is False:
        raise ValueError(f"{name} is not finite ({concrete_value(x)}).")
    if above is not None and concretely(lambda value: value > above, x) is False:
        raise ValueError(f"{name} is {float(np.asarray(concrete_value(x))):g}; it must be greater than {above:g}.")
    if least is not None and concretely(lambda value: value >= least, x) is False:
        raise ValueError(f"{name} is {float(np.asarray(concrete_value(x))):g}; it must be at least {least:g}.")
    return x


def matching_structure(tree: Any, expected: Any, name: str) -> Any:
    """`tree` as arrays with the structure, shapes and dtypes of `expected`, or an error that says how they differ."""
    got, wanted = jax.tree.structure(tree), jax.tree.structure(expected)
    if got != wanted:
        raise ValueError(f"`{name}` has structure {got}; the unknown of this problem has structure {wanted}.")

    def match(leaf: Any, like: Any) -> Array:
        leaf = jnp.asarray(leaf, like.dtype)
        if leaf.shape != like.shape:
            raise ValueError(f"`{name}` has an array of shape {leaf.shape} where the unknown has {like.shape}.")
        return leaf

    return jax.tree.map(match, tree, expected)


def kink_tolerance(dtype: Any) -> float:
    """How close to a kink counts as on it, relative to the size of what is compared: `eps^{3/4}`.

    1.8e-12 in float64 and 6.4e-6 in float32: above the rounding of a well-conditioned solve, far below any distance
    that a user would call different.
    """
    return float(jnp.finfo(dtype).eps) ** 0.75


def flag(x: Any, name: str) -> bool:
    """A plain `True` or `False`: text and numbers, which Python takes for true unless they are empty, are refused."""
    if not isinstance(x, bool | np.bool_):
        raise TypeError(f"{name} is {x!r}; give True or False.")
    return bool(x)
