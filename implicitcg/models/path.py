"""Regularisation paths: the solutions of a model for many penalties, with derivatives and knots."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import ArrayLike, Bool, Float, Int

from ..base import Status, checks, concretely, nondifferentiable, raise_unless_converged
from ..equations.composite import Composite
from ..equations.forms import lasso_form
from ..equations.one_parameter import Form, LineForm, read
from ..linear import design
from ..penalties import L1, ElasticNet
from ..solvers.lasso.quadratic_loss import QuadraticLoss, gap_tolerance, needed_strength, relative_gap
from ..solvers.lasso.walk import walk_path
from ..solving import solve


class Path(eqx.Module):
    """The solutions of a model along a grid of penalties.

    `coef[i]` solves the problem for `alphas[i]`, which fall; `slope[i]` is its derivative by the penalty: at a knot the
    one towards smaller penalties. On a LASSO path `knots` are the penalties at which a feature enters or leaves,
    descending and exact, between the first and the last of `alphas`, and `features` says which one: `j + 1` where
    feature `j` enters and `-(j + 1)` where it leaves. Both are padded with zeros to a static length, and `complete`
    says whether all knots found room. Between two knots the coefficients are affine in the penalty. Other models have
    no such knots, and the arrays are empty. `gap` is the duality gap relative to the objective at zero, evaluated anew
    from the coefficients (for others: the norm of the optimality residual), and `converged` whether it is small enough.
    """

    alphas: Float[Array, " m"]
    coef: Float[Array, "m ..."]
    intercept: Float[Array, " m"]
    slope: Float[Array, "m ..."]
    gap: Float[Array, " m"]
    converged: Bool[Array, " m"]
    knots: Float[Array, " k"]
    features: Int[Array, " k"]
    complete: Bool[Array, ""]


def path(
    model: Callable[[Any, Any, Any], Any],
    X: Any,
    y: Any,
    alphas: Float[ArrayLike, " m"] | None = None,
    *,
    n_alphas: int = 100,
    ratio: float = 1e-2,
    max_knots: int | None = None,
    max_steps: int = 100,
    throw: bool = True,
) -> Path:
    """The regularisation path of `model` in one compiled call.

    A LASSO whose penalties are proportional to `alpha`, weighted or not, is followed from knot to knot by a homotopy
    whose every solution is exact; that it is one is read from the program of the model. Any other model is solved at
    one penalty after the other, each from the solution before.

    Args:
        model: `(X, y, alpha) -> problem`, as `icg.lasso` or `functools.partial(icg.lasso, fit_intercept=True)`.
        X: design matrix `(n, p)`, dense or sparse.
        y: response `(n,)`.
        alphas: penalties in descending order; `None` means `n_alphas` of them, evenly spaced in their logarithm, from
            the smallest penalty with an empty model down to `ratio` times it.
        n_alphas: how many penalties.
        ratio: the last penalty, relative to the first.
        max_knots: static room for knots; `None` means `8 min(n, p) + 64`.
        max_steps: passes over the data for one penalty.
        throw: raise where a point has not converged, rather than say so in `converged`.

    Returns:
        A `Path`. It has no derivatives of its own beyond `slope`; differentiate `icg.solve` at the penalty you choose.

    Raises:
        ValueError: penalties that are not positive and descending, a ratio outside (0, 1).
        SolveError: some point has not converged, or not all knots found room.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.eye(2), jnp.array([2.0, 1.0])
        >>> found = icg.path(icg.lasso, X, y, jnp.array([1.5, 0.75, 0.25]))
        >>> found.coef
        Array([[0. , 0. ],
               [0.5, 0. ],
               [1.5, 0.5]], dtype=float32)
        >>> found.slope[-1], found.knots[:2], found.features[:2]
        (Array([-2., -2.], dtype=float32), Array([1. , 0.5], dtype=float32), Array([1, 2], dtype=int32))

    Source: Osborne, Presnell, Turlach, A new approach to variable selection in least squares problems, 2000; Efron,
        Hastie, Johnstone, Tibshirani, Least angle regression, Annals of Statistics 2004.
    """
    if alphas is None and not 0 < ratio < 1:
        raise ValueError(f"ratio is {ratio}; the last penalty is a part of the first one, between 0 and 1.")
    if alphas is None and n_alphas < 1:
        raise ValueError(f"n_alphas is {n_alphas}; at least one penalty is needed.")
    X, y = design.as_given(design.design_matrix(X)), checks.floating(y, "y")  # once, not at every use of the model
    with jax.ensure_compile_time_eval():  # what does not depend on traced data stays known
        one = model(X, y, 1.0)
    if not isinstance(one, Composite):
        raise TypeError(
            f"The model gives {type(one).__name__}; icg.path follows models made of a loss and a penalty, as icg.lasso."
        )
    dtype = one.smooth.dimension()[1]
    if alphas is None:
        alphas = _grid(one, n_alphas, ratio)
    else:
        if np.ndim(alphas) != 1 or np.shape(alphas)[0] == 0:
            shape = np.shape(alphas)
            raise ValueError(f"alphas has shape {shape}; a vector of penalties is needed, in descending order.")
        alphas = checks.penalty_strength(alphas, np.shape(alphas)[0], dtype, "alphas")
        if concretely(lambda a: (np.diff(a) <= 0).all() and (a > 0).all(), alphas) is False:
            raise ValueError("alphas must be positive and descend, as a path is followed from the empty model down.")
    if _is_lasso(model, X, y):
        room = 8 * min(one.smooth.X.shape) + 64 if max_knots is None else max_knots  # type: ignore[attr-defined]
        found = _lasso_path(one, alphas, max_steps, room)
    else:
        found = _any_path(model, X, y, alphas)
    if throw:
        status = Status.where(jnp.all(found.converged), Status.converged, Status.not_converged)
        status = Status.where(found.complete, status, Status.over_capacity)
        found = eqx.tree_at(lambda f: f.coef, found, raise_unless_converged(found.coef, status))
    return nondifferentiable(
        found, "icg.path has no derivatives beyond `slope`. Differentiate icg.solve at the penalty you choose."
    )


def _grid(problem: Composite, count: int, ratio: float) -> Float[Array, " m"]:
    """Penalties from the smallest with an empty model down, evenly in their logarithm."""
    zero = problem.initial()
    if not isinstance(problem.penalty, (L1, ElasticNet)):
        raise ValueError(
            f"The largest penalty of interest is not known for {type(problem.penalty).__name__}; give `alphas`."
        )
    weights = jnp.broadcast_to(problem.penalty.alpha, zero.shape)
    return needed_strength(weights, problem.smooth.gradient(zero)) * jnp.geomspace(1, ratio, count, dtype=zero.dtype)


def _is_lasso(model: Callable[[Any, Any, Any], Any], X: Any, y: Any) -> bool:
    """Whether the model is a LASSO whose penalties are positive and proportional to `alpha`, for all `alpha`."""
    form = lasso_form(read(lambda alpha: model(X, y, alpha), 1.0))
    if form is None or form.ridge is not None or any(isinstance(leaf, Form) for leaf in jax.tree.leaves(form.loss)):
        return False
    return isinstance(form.alpha, LineForm) and not form.alpha.offset.any() and bool((form.alpha.rate > 0).all())


@eqx.filter_jit
def _lasso_path(problem: Composite, alphas: Array, max_steps: int, max_knots: int) -> Path:
    loss = QuadraticLoss.of(problem)
    points, walk = walk_path(loss, alphas, max_steps=max_steps, max_knots=max_knots)
    gap = jax.vmap(partial(_gap, loss))(points.coef, alphas)
    inside = (walk.knots <= alphas[0]) & (walk.knots >= alphas[-1]) & (walk.features != 0)
    first = jnp.argsort(~inside, stable=True)
    return Path(
        alphas,
        points.coef,
        jax.vmap(loss.smooth.intercept)(points.coef),
        points.slope,
        gap,
        gap <= gap_tolerance(None, alphas.dtype),
        jnp.where(inside, walk.knots, 0)[first],
        jnp.where(inside, walk.features, 0)[first],
        walk.recorded <= max_knots,
    )


def _gap(loss: QuadraticLoss, coef: Array, alpha: Array) -> Array:
    """The relative duality gap, from the coefficients alone: what the walk carried along does not count."""
    return relative_gap(loss, coef, loss.gradient(coef), loss.value(coef), alpha)


@eqx.filter_jit
def _any_path(model: Callable[[Any, Any, Any], Any], X: Any, y: Array, alphas: Array) -> Path:
    """One solve after the other, each from the solution before, with the derivative of each."""

    def to(root: Array, alpha: Array) -> tuple[Array, tuple]:
        def at(alpha: Array) -> tuple[Any, Any]:
            solution = solve(model(X, y, alpha), init=root, throw=False)
            coef, intercept = solution.value if isinstance(solution.value, tuple) else (solution.value, None)
            return coef, (coef, intercept, solution)

        _, slope, (coef, intercept, solution) = jax.jvp(at, (alpha,), (jnp.ones_like(alpha),), has_aux=True)
        intercept = jnp.zeros((), alpha.dtype) if intercept is None else intercept
        return solution.root, (coef, intercept, slope, solution.residual, solution.converged)

    _, (coef, intercept, slope, residual, converged) = lax.scan(to, model(X, y, alphas[0]).initial(), alphas)
    none = jnp.zeros(0, alphas.dtype)
    return Path(alphas, coef, intercept, slope, residual, converged, none, jnp.zeros(0, jnp.int32), jnp.asarray(True))
