"""Evaluating a criterion by solves: values and gradients by fold, warm-started, one compiled program per fold shape."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from ..base import SolveError, Status
from ..linear import design
from .checkpoint import EvaluationLog
from .criteria import AbstractCriterion
from .journal import Journal


@dataclass(frozen=True)
class Point:
    """The criterion at one theta: losses `(k,)` and their gradients `(k, d)` by fold, and the inner solutions.

    `roots` are the flattened inner unknowns, `(k, p)`, or `None` where they are not known. A change of their signs is
    how a LASSO-like solution shows that it met a kink. `usable` is false where an inner solve failed or a loss is not
    finite; `value` is infinite there.
    """

    theta: np.ndarray
    values: np.ndarray
    gradients: np.ndarray
    roots: np.ndarray | None
    usable: bool

    @property
    def value(self) -> float:
        """The criterion: the mean over folds."""
        return float(self.values.mean()) if self.usable else float("inf")

    @property
    def gradient(self) -> np.ndarray:
        """The gradient of the default selection, `(d,)`; NaN where it was refused."""
        return self.gradients.mean(axis=0)

    @property
    def slope(self) -> float:
        """The gradient, in one dimension."""
        return float(self.gradient[0])

    @property
    def signs(self) -> np.ndarray:
        """The signs of the inner unknowns; empty where they are not known."""
        return np.empty(0) if self.roots is None else np.sign(self.roots)

    @property
    def support(self) -> int:
        """How many inner unknowns are not zero."""
        return int(np.count_nonzero(self.signs))

    def same_piece(self, other: Point) -> bool:
        """Whether the signs of the two agree: no kink is met between them."""
        return np.array_equal(self.signs, other.signs)


class AbstractOracle(abc.ABC):
    """Evaluates at flat thetas, answers from the log where it can, and keeps the books."""

    def __init__(self, dtype: Any, journal: Journal, log: EvaluationLog, solves: int):
        self.dtype, self.journal, self.log, self.solves = dtype, journal, log, solves

    def __call__(self, theta: np.ndarray, near: Point | None, stage: str, best: float) -> Point:
        """The criterion at `theta`, warm-started from the point `near`."""
        flat = np.asarray(np.reshape(theta, -1), self.dtype)
        known = self.log.get(flat)
        if known is None:
            try:
                if self.journal.interrupted:
                    return _nothing(flat)
                record, notes = self._evaluate(flat, near)
            except KeyboardInterrupt:
                self.journal.interrupt()
                return _nothing(flat)
            self.log.put(flat, record, notes)
        else:
            record, notes = known
        for note in notes:
            self.journal.tell(note, f"first at theta = {_show(flat)}")
        self.journal.spend(self.solves, stage, best)
        return Point(
            flat.astype(np.float64), record["values"], record["gradients"], record.get("roots"), bool(record["usable"])
        )

    @abc.abstractmethod
    def _evaluate(self, flat: np.ndarray, near: Point | None) -> tuple[dict[str, np.ndarray], list[str]]:
        """The record of one evaluation: `values`, `gradients`, `usable`, perhaps `roots`; and notes for the user."""


class FoldOracle(AbstractOracle):
    """A hold-out or cross-validation criterion. Folds are solved one after another, so none waits for the slowest."""

    def __init__(
        self,
        criterion: AbstractCriterion,
        unravel: Callable[[Array], Any],
        dtype: Any,
        journal: Journal,
        log: EvaluationLog,
    ):
        super().__init__(dtype, journal, log, len(criterion.folds))
        self.criterion, self.unravel = criterion, unravel
        self.rows = [(jnp.asarray(fold.train), jnp.asarray(fold.test)) for fold in criterion.folds]
        self._unravel_root: Callable[[Array], Any] | None = None
        self._cold: Array | None = None

        def evaluate(data: Any, rows: Any, theta: Array, init: Any) -> Any:
            def loss(flat: Array) -> Any:
                value, solution = criterion.fold_loss(data, rows, unravel(flat), init, throw=False)
                return value, (ravel_pytree(solution.root)[0], solution.status)

            if theta.size == 1:
                value, slope, aux = jax.jvp(loss, (theta,), (jnp.ones_like(theta),), has_aux=True)
                return value, jnp.reshape(slope, 1), aux
            (value, aux), gradient = jax.value_and_grad(loss, has_aux=True)(theta)
            return value, gradient, aux

        self._program = jax.jit(evaluate)

    def _evaluate(self, flat: np.ndarray, near: Point | None) -> tuple[dict[str, np.ndarray], list[str]]:
        theta = jnp.asarray(flat)
        found = []
        for k, rows in enumerate(self.rows):
            init = self._start(k, near, theta)
            value, gradient, (root, status) = self._program((self.criterion.X, self.criterion.y), rows, theta, init)
            found.append((np.asarray(value), np.asarray(gradient), np.asarray(root), status))
        values, gradients, roots, statuses = zip(*found, strict=True)
        return record_of(np.stack(values), np.stack(gradients), np.stack(roots), list(statuses))

    def _start(self, k: int, near: Point | None, theta: Array) -> Any:
        if self._unravel_root is None or self._cold is None:
            fold = self.criterion.folds[k]
            X, y = design.take_rows(self.criterion.X, jnp.asarray(fold.train)), self.criterion.y[fold.train]
            problem = self.criterion.problem(X, y, self.unravel(theta))
            self._cold, self._unravel_root = ravel_pytree(problem.initial())
        if near is None or not near.usable or near.roots is None:
            return self._unravel_root(self._cold)
        return self._unravel_root(jnp.asarray(near.roots[k]))


def record_of(
    values: np.ndarray, gradients: np.ndarray, roots: np.ndarray, statuses: list[Status]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The record of an evaluation by folds, and what the user should know of it, in the order of the folds."""
    values, gradients = values.astype(np.float64), gradients.astype(np.float64)
    notes: list[str] = []
    usable = True
    for value, gradient, status in zip(values, gradients, statuses, strict=True):
        if int(np.asarray(status._value)) != 0:
            usable = False
            notes.append(f"An inner solve failed. {Status[status]}")
        elif not np.isfinite(value):
            usable = False
            notes.append("The loss is not finite at some thetas; the search keeps away from there.")
        elif not np.isfinite(gradient).all():
            notes.append(
                "Some derivatives were refused: an inner solution is not unique, or its linear system is singular "
                "(duplicated columns?). The search went on by values there; `icg.certify` explains it."
            )
    return {"values": values, "gradients": gradients, "roots": roots, "usable": np.asarray(usable)}, notes


class FunctionOracle(AbstractOracle):
    """Any function `theta -> scalar`; one evaluation of it, with its gradient, counts as one solve."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        unravel: Callable[[Array], Any],
        dtype: Any,
        journal: Journal,
        log: EvaluationLog,
    ):
        super().__init__(dtype, journal, log, 1)

        def scalar(flat: Array) -> Array:
            value = jnp.asarray(function(unravel(flat)))
            if value.shape != ():
                raise ValueError(
                    f"The criterion must return a scalar, and returned shape {value.shape}: take its mean."
                )
            return value

        self.scalar = scalar
        self._program = jax.jit(jax.value_and_grad(scalar))

    def _evaluate(self, flat: np.ndarray, near: Point | None) -> tuple[dict[str, np.ndarray], list[str]]:
        del near
        notes: list[str] = []
        try:
            value, gradient = self._program(jnp.asarray(flat))
            values, gradients = np.asarray(value, np.float64)[None], np.asarray(gradient, np.float64)[None]
        except (SolveError, jax.errors.JaxRuntimeError) as error:
            notes.append(f"The criterion failed. {_first_sentences(error)}")
            values, gradients = np.full(1, np.nan), np.full((1, len(flat)), np.nan)
        usable = bool(np.isfinite(values).all() and np.isfinite(gradients).all())
        if not usable and not notes:
            what = "the gradient" if np.isfinite(values).all() else "the criterion"
            notes.append(f"At some thetas {what} is not finite; the search keeps away from there.")
        return {"values": values, "gradients": gradients, "usable": np.asarray(usable)}, notes


def _nothing(flat: np.ndarray) -> Point:
    """The point that an interrupted evaluation leaves."""
    nan = np.full(1, np.nan)
    return Point(flat.astype(np.float64), nan, np.full((1, flat.size), np.nan), None, False)


def _first_sentences(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if "Error: " in line]
    return (lines[-1].split("Error: ", 1)[1] if lines else str(error))[:400]


def _show(flat: np.ndarray) -> str:
    return f"{float(flat[0]):.6g}" if flat.size == 1 else f"({flat.size} values of norm {np.linalg.norm(flat):.4g})"
