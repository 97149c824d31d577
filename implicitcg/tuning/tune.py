"""`tune`: the door to every search."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .criteria import AbstractCriterion
from .homotopy import PathBroken
from .journal import Journal
from .lasso_family import recognise
from .one_strength import tune_exactly
from .progress import Progress
from .result import Step, TuneResult


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
    """TODO."""
    theta0 = jax.tree.map(_inexact, theta0)
    flat, unravel = ravel_pytree(theta0)
    tol = float(np.sqrt(np.finfo(flat.dtype).eps)) if tol is None else tol

    def rebuild(value: float) -> Any:
        return unravel(jnp.full(1, value, flat.dtype))

    with Progress(progress, max_solves) as display:
        journal = Journal(unravel, display, callback, max_solves)
        if flat.size == 1 and isinstance(criterion, AbstractCriterion):
            start = float(flat[0])
            family = recognise(criterion, start, rebuild)
            if family is not None:
                try:
                    return tune_exactly(*family, criterion.loss, start, rebuild, bounds, tol, journal)
                except PathBroken as broken:
                    journal.tell(f"Searched by solves: {broken}.")
        raise NotImplementedError


def _inexact(leaf: Any) -> Any:
    leaf = jnp.asarray(leaf)
    return leaf if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.astype(jnp.result_type(float))
