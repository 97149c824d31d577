"""`tune`: the door to every search."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from .criteria.criteria import AbstractCriterion
from .criteria.information import AbstractInformation
from .exact.checkpoint import PathLog
from .exact.one_strength import tune_exactly
from .exact.path import PathBroken
from .exact.recognise import Disagrees, recognise
from .result import Step, TuneResult
from .search.by_descent import tune_by_descent
from .search.by_solves import tune_by_solves
from .search.checkpoint import EvaluationLog
from .search.coordinates import Coordinates
from .search.devices import axis_of
from .search.journal import Journal
from .search.log import Progress
from .search.oracle import AbstractOracle, FoldOracle, FunctionOracle
from .search.strategies import AbstractSearch, QuasiNewton

TOLERANCE = 5e-7


def tune(
    criterion: Callable[[Any], Any],
    theta0: Any,
    *,
    max_solves: int | None = None,
    tol: float | None = None,
    progress: bool | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    transforms: Any = None,
    bounds: Any = None,
    search: AbstractSearch | None = None,
    starts: int = 1,
    max_seconds: float | None = None,
    callback: Callable[[Step], Any] | None = None,
    seed: int = 0,
    mesh: Mesh | None = None,
) -> TuneResult:
    """Minimise a criterion over hyperparameters, through the solutions of its inner problems.

    Three searches, by what is known of the criterion:

    - `HoldOut` or `CrossValidation` of a LASSO, in one number that scales its penalty: the exact path. Every piece
      between kinks is examined, so the minimum is global over the range. It takes one small factorisation a piece.
    - `HoldOut` or `CrossValidation` of another model in one number: a coarse path, then the promising cells.
    - Anything else: quasi-Newton descent from `theta0`, with the smallest hypergradient at kinks. Local.

    Ctrl-C ends a search with the best point so far.

    Penalties are best searched by their logarithm: say `transforms=icg.tuning.Positive()`, or tune the logarithm
    itself, `alpha = jnp.exp(theta)`.

    Args:
        criterion: `theta -> scalar`, path differentiable: a criterion of `icg.tuning`, or any function built with
            `icg.solve`.
        theta0: where to start; any tree of arrays.
        max_solves: the budget of inner solves (one for each fold and theta); 1000 by default, unlimited on an
            exact path, whose pieces are few.
        tol: how small the smallest hypergradient must be, relative to the criterion, to call a point stationary;
            by default 5e-7 in float64 and on exact paths, 1e-4 in float32.
        progress: whether to show how the search is going; `None`: when standard error is a terminal.
        checkpoint: a file in which evaluations (or the pieces of an exact path) are kept, so that the same call resumes
            after an interruption. It is brought up to date once a second and always whole.
        transforms: how numbers are searched: `Positive()` by logarithm, `Fraction()` by logit, `Bounded(low, high)`,
            `Free()`; one for all, or a tree like `theta0`. The criterion and the result keep the model's own units.
        bounds: `(low, high)` for all hyperparameters, or a tree of such pairs like `theta0`, in the units of `theta0`.
            The range of a single one is by default found: from where every solution is empty, four decades down, and
            further while the best point is at that end.
        search: `QuasiNewton()` (the default in several dimensions) or `Optax(optimiser, steps)`; naming one in one
            dimension gives up the global searches.
        starts: for descents, how many points are looked at first within the bounds (or three units of the search around
            `theta0`). In one dimension, and in two from nine points on, they are a coarse path over an even grid, and
            descents are made from its lowest three valleys (in one dimension it is the result's `curve`); in several
            they are spread, and the best three are taken.
        max_seconds: the budget of time; the evaluation at hand is finished.
        callback: called with every `Step` of the history; a true answer stops the search, and so does Ctrl-C, with the
            best point so far.
        seed: of the points sampled around kinks.
        mesh: one axis of devices over which folds and starting points are spread, also of several processes, which
            then all make this call (`jax.distributed`) and get the same result; budgets of time and Ctrl-C are not
            shared between them. Exact paths run on the host.

    Returns:
        A `TuneResult`: `theta`, `value`, and how sure that is: `status`, `stationarity`, `scope`.

    Raises:
        TypeError: a criterion that is not callable, or a theta0 that is not made of numbers.
        ValueError: a theta0 that is empty, not finite or outside its domain, bad bounds, a checkpoint of another search
        RuntimeError: a criterion that cannot be evaluated anywhere; with the advice of the inner solver.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.eye(2), jnp.array([2.0, 1.0])
        >>> holdout = icg.tuning.HoldOut(lambda t: icg.lasso(X, y, jnp.exp(t)), X, jnp.array([1.5, 0.0]))
        >>> round(float(jnp.exp(icg.tune(holdout, 0.0).theta)), 4)
        0.375

    Source: Bertrand et al., Implicit differentiation for fast hyperparameter selection in non-smooth convex learning,
    JMLR 2022, for the descent; `implicitcg.tuning.exact.path` and `implicitcg.tuning.search.descent` name theirs.
    """
    if not callable(criterion):
        raise TypeError(f"`criterion` must be a function theta -> scalar, and is a {type(criterion).__name__}.")
    coordinates = Coordinates(theta0, transforms, bounds)
    if search is not None and not isinstance(search, AbstractSearch):
        raise TypeError(
            "`search` must be icg.tuning.QuasiNewton() or icg.tuning.Optax(optimiser), and is a "
            f"{type(search).__name__}."
        )
    if mesh is not None:
        axis_of(mesh)
    flat = coordinates.start
    single = flat.size == 1 and search is None
    exact_tol = TOLERANCE if tol is None else tol
    tol = max(TOLERANCE, 1000 * float(np.finfo(flat.dtype).eps)) if tol is None else tol
    folded = isinstance(criterion, AbstractCriterion)
    with Progress(progress, max_solves) as display:
        journal = Journal(display, callback, max_solves, max_seconds)
        if folded and single:
            family = recognise(criterion, flat[0], lambda place: coordinates.natural(jnp.reshape(place, 1)))
            if family is not None:
                score = criterion.score if isinstance(criterion, AbstractInformation) else None
                kept = PathLog(checkpoint, _identity(criterion, coordinates))
                try:
                    return tune_exactly(family, criterion.loss, score, coordinates, exact_tol, journal, kept)
                except PathBroken as broken:
                    journal.tell(f"The pieces could not all be examined ({broken}), so the search went by solves.")
                except Disagrees as reason:
                    journal.tell(f"The exact search found what the criterion denies ({reason}), so it went by solves.")
        journal.max_solves = 1000 if max_solves is None else max_solves
        log = EvaluationLog(checkpoint, _identity(criterion, coordinates))
        kind = FoldOracle if folded else FunctionOracle
        oracle: AbstractOracle = kind(criterion, coordinates.natural, flat.dtype, journal, log, mesh)  # type: ignore[arg-type]
        try:
            if isinstance(oracle, FoldOracle) and single:
                return tune_by_solves(oracle, coordinates, tol, journal)
            how = QuasiNewton() if search is None else search
            return tune_by_descent(oracle, coordinates, how, starts, tol, journal, seed)
        finally:
            log.flush()


def _identity(criterion: Any, coordinates: Coordinates) -> dict[str, Any]:
    """What must agree for a checkpoint to be taken up; code is not among it, data are."""
    start = coordinates.start
    box = [coordinates.low.tolist(), coordinates.high.tolist()] if coordinates.bounded else None
    identity: dict[str, Any] = {"theta0": start.tolist(), "dtype": str(start.dtype), "bounds": box}
    if isinstance(criterion, AbstractCriterion):
        digest = hashlib.sha256()
        for part in (*jax.tree.leaves(criterion.X), criterion.y, *[rows for fold in criterion.folds for rows in fold]):
            digest.update(np.ascontiguousarray(part).tobytes())
        identity["data"] = digest.hexdigest()[:16]
    return identity
