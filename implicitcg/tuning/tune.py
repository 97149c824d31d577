"""`tune`: the door to every search."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from jax.sharding import Mesh

from .abandoned import Abandoned
from .criteria.criterion import AbstractCriterion
from .exact.one_strength import AlongPath
from .exact.two_strengths import AlongRidges
from .result import Step, TuneResult
from .search.by_descent import ByDescent
from .search.by_solves import BySolves
from .search.coordinates import Coordinates
from .search.devices import axis_of
from .search.journal import Journal
from .search.log import Progress
from .search.optimisers import AbstractSearch
from .strategy import AbstractStrategy, Task

# the first that applies is taken: all that is exact, then by solves what is one number, then anything
STRATEGIES: tuple[type[AbstractStrategy], ...] = (AlongPath, AlongRidges, BySolves, ByDescent)


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
      That the penalty is `c(theta) v` for all `theta`, with an exponential or affine `c`, is read from the program of
      the model; where it cannot be read (a floor, a step), the search goes by solves.
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
    with Progress(progress, max_solves) as display:
        journal = Journal(display, callback, max_solves, max_seconds)
        task = Task(criterion, coordinates, journal, tol, max_solves, checkpoint, search, starts, seed, mesh)
        for way in STRATEGIES:
            strategy = way(task)
            if strategy.applies():
                try:
                    return strategy.run()
                except Abandoned as reason:
                    journal.tell(str(reason))
    raise AssertionError("a descent applies to every task")


def exactly(criterion: AbstractCriterion, theta0: Any) -> TuneResult | None:
    """The global minimum over one hyperparameter, in silence and without books; `None` where no exact path knows it."""
    strategy = AlongPath(Task(criterion, Coordinates(theta0), Journal(Progress(False, None), None, None)))
    try:
        return strategy.run() if strategy.applies() else None
    except Abandoned:
        return None
