"""`tune`: the door to every search."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..base import is_traced
from .by_descent import tune_by_descent
from .by_solves import tune_by_solves
from .checkpoint import EvaluationLog
from .criteria import AbstractCriterion
from .homotopy import PathBroken
from .information import AbstractInformation
from .journal import Journal
from .lasso_family import recognise
from .one_strength import tune_exactly
from .oracle import AbstractOracle, FoldOracle, FunctionOracle
from .progress import Progress
from .result import Step, TuneResult

TOLERANCE = 5e-7


def tune(
    criterion: Callable[[Any], Any],
    theta0: Any,
    *,
    max_solves: int | None = None,
    tol: float | None = None,
    progress: bool | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    bounds: tuple[float, float] | None = None,
    callback: Callable[[Step], Any] | None = None,
    seed: int = 0,
) -> TuneResult:
    """Minimise a criterion over hyperparameters, through the solutions of its inner problems.

    Three searches, by what is known of the criterion:

    - `HoldOut` or `CrossValidation` of a LASSO, in one number that scales its penalty: the exact path. Every piece
      between kinks is examined, so the minimum is global over the range. It takes one small factorisation a piece.
    - `HoldOut` or `CrossValidation` of another model in one number: a coarse path, then the promising cells.
    - Anything else: quasi-Newton descent from `theta0`, with the smallest hypergradient at kinks. Local.

    The descent steps in `theta` as given, so tune logarithms: `alpha = jnp.exp(theta)`.

    Args:
        criterion: `theta -> scalar`, path differentiable: a criterion of `icg.tuning`, or any function built with
            `icg.solve`.
        theta0: where to start; any tree of arrays.
        max_solves: the budget of inner solves (one for each fold and theta); 1000 by default, unlimited on an
            exact path, whose pieces are few.
        tol: how small the smallest hypergradient must be, relative to the criterion, to call a point stationary;
            by default 5e-7 in float64 and on exact paths, 1e-4 in float32.
        progress: whether to show how the search is going; `None`: when standard error is a terminal.
        checkpoint: a file in which evaluations are kept, so that the same call resumes after an interruption. An exact
            path takes seconds and keeps none.
        bounds: the range `(low, high)` of a single hyperparameter. By default it is found: from where every solution
            is empty, four decades down, and further while the best point is at that end.
        callback: called with every `Step` of the history; a true answer stops the search.
        seed: of the points sampled around kinks.

    Returns:
        A `TuneResult`: `theta`, `value`, and how sure that is: `status`, `stationarity`, `scope`.

    Raises:
        TypeError: a criterion that is not callable, or a theta0 that is not made of numbers.
        ValueError: a theta0 that is not finite or empty, bad bounds, a checkpoint of another search.
        RuntimeError: a criterion that cannot be evaluated anywhere; with the advice of the inner solver.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.eye(2), jnp.array([2.0, 1.0])
        >>> holdout = icg.tuning.HoldOut(lambda t: icg.lasso(X, y, jnp.exp(t)), X, jnp.array([1.5, 0.0]))
        >>> round(float(jnp.exp(icg.tune(holdout, 0.0).theta)), 4)
        0.375

    Source: Bertrand et al., Implicit differentiation for fast hyperparameter selection in non-smooth convex learning,
    JMLR 2022, for the descent; `implicitcg.tuning.homotopy` and `implicitcg.tuning.descent` name theirs.
    """
    if not callable(criterion):
        raise TypeError(f"`criterion` must be a function theta -> scalar, and is a {type(criterion).__name__}.")
    flat, unravel = _flatten(theta0)
    bounds = _checked_bounds(bounds, flat)
    dtype = flat.dtype
    exact_tol = TOLERANCE if tol is None else tol
    tol = max(TOLERANCE, 1000 * float(np.finfo(dtype).eps)) if tol is None else tol

    def rebuild(value: float) -> Any:
        leaves, structure = jax.tree.flatten(theta0)
        return jax.tree.unflatten(structure, [jnp.asarray(np.full(np.shape(leaf), value, dtype)) for leaf in leaves])

    folded = isinstance(criterion, AbstractCriterion)
    with Progress(progress, max_solves) as display:
        journal = Journal(display, callback, max_solves)
        if folded and flat.size == 1:
            family = recognise(criterion, float(flat[0]), rebuild)
            if family is not None:
                try:
                    score = criterion.score if isinstance(criterion, AbstractInformation) else None
                    return tune_exactly(
                        *family, criterion.loss, score, float(flat[0]), rebuild, bounds, exact_tol, journal
                    )
                except PathBroken as broken:
                    journal.tell(f"The pieces could not all be examined ({broken}), so the search went by solves.")
        journal.max_solves = 1000 if max_solves is None else max_solves
        log = EvaluationLog(checkpoint, _identity(criterion, flat, bounds))
        kind = FoldOracle if folded else FunctionOracle
        oracle: AbstractOracle = kind(criterion, unravel, dtype, journal, log)  # type: ignore[arg-type]
        try:
            if isinstance(oracle, FoldOracle) and flat.size == 1:
                return tune_by_solves(oracle, float(flat[0]), rebuild, bounds, tol, journal)
            return tune_by_descent(oracle, flat, unravel, tol, journal, seed)
        finally:
            log.flush()


def _flatten(theta0: Any) -> tuple[np.ndarray, Callable[[Any], Any]]:
    if is_traced(theta0):
        raise TypeError("icg.tune runs a search on concrete numbers; call it outside jit, vmap and grad.")
    try:
        leaves = jax.tree.map(_inexact, theta0)
    except TypeError as error:
        raise TypeError(f"theta0 must be a tree of numbers: {error}") from error
    flat, unravel = ravel_pytree(leaves)
    if flat.size == 0:
        raise ValueError("theta0 is empty: there is nothing to tune.")
    if not np.isfinite(np.asarray(flat)).all():
        raise ValueError("theta0 is not finite. For a log-penalty start from `jnp.log(alpha)` with alpha > 0.")
    return np.asarray(flat), unravel


def _inexact(leaf: Any) -> Any:
    leaf = jnp.asarray(leaf)
    return leaf if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.astype(jnp.result_type(float))


def _checked_bounds(bounds: Any, flat: np.ndarray) -> tuple[float, float] | None:
    if bounds is None:
        return None
    if flat.size != 1:
        raise ValueError(
            "bounds= is for a single hyperparameter. With several, let the model keep them in their domain, "
            "for example `alpha = jnp.exp(theta)` or `ratio = jax.nn.sigmoid(theta)`."
        )
    low, high = (float(bound) for bound in bounds)
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"bounds={bounds} must be two finite numbers, the lower one first.")
    return low, high


def _identity(criterion: Any, flat: np.ndarray, bounds: Any) -> dict[str, Any]:
    """What must agree for a checkpoint to be taken up; code is not among it, data are."""
    identity = {"theta0": flat.tolist(), "dtype": str(flat.dtype), "bounds": bounds and list(bounds)}
    if isinstance(criterion, AbstractCriterion):
        digest = hashlib.sha256()
        for part in (*jax.tree.leaves(criterion.X), criterion.y, *[rows for fold in criterion.folds for rows in fold]):
            digest.update(np.ascontiguousarray(part).tobytes())
        identity["data"] = digest.hexdigest()[:16]
    return identity
