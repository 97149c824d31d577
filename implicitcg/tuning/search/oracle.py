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
from jax.sharding import Mesh

from ...base import SolveError, Status, code_of
from ..criteria.criterion import AbstractCriterion, evaluate_fold
from ..result import Curve
from .checkpoint import EvaluationLog
from .devices import Lanes, Spread
from .journal import Journal
from .judge import fold_error


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
        self._ready: dict[bytes, tuple[dict[str, np.ndarray], list[str]]] = {}

    def __call__(self, theta: np.ndarray, near: Point | None, stage: str, best: float) -> Point:
        """The criterion at `theta`, warm-started from the point `near`."""
        flat = np.asarray(np.reshape(theta, -1), self.dtype)
        known = self.log.get(flat)
        if known is None:
            try:
                if self.journal.interrupted:
                    return _nothing(flat)
                ready = self._ready.pop(flat.tobytes(), None)
                record, notes = self._evaluate(flat, near) if ready is None else ready
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

    def prefetch(self, thetas: list[np.ndarray]) -> None:
        """Evaluate many points at once on several devices, where there is a way; a call then finds them made."""
        flats = [np.asarray(np.reshape(theta, -1), self.dtype) for theta in thetas]
        flats = [flat for flat in flats if self.log.get(flat) is None]
        if len(flats) > 1:
            for flat, found in zip(flats, self._evaluate_many(flats) or [], strict=False):
                self._ready[flat.tobytes()] = found

    def _evaluate_many(self, flats: list[np.ndarray]) -> list[tuple[dict[str, np.ndarray], list[str]]] | None:
        """Records of many points, cold-started; `None` where they are made one after another."""
        del flats
        return None

    @abc.abstractmethod
    def _evaluate(self, flat: np.ndarray, near: Point | None) -> tuple[dict[str, np.ndarray], list[str]]:
        """The record of one evaluation: `values`, `gradients`, `usable`, perhaps `roots`; and notes for the user."""


class FoldOracle(AbstractOracle):
    """A criterion of folds, solved fold by fold, so that none waits for the slowest."""

    def __init__(
        self,
        criterion: AbstractCriterion,
        natural: Callable[[Array], Any],
        dtype: Any,
        journal: Journal,
        log: EvaluationLog,
        mesh: Mesh | None = None,
    ):
        super().__init__(dtype, journal, log, len(criterion.folds))
        self.criterion, self.natural = criterion, natural
        self.rows = jax.device_put([tuple(fold) for fold in criterion.folds])
        self._unravel_root: Callable[[Array], Any] | None = None
        self._cold: Array | None = None
        self._program = criterion.evaluator(natural)
        self._lanes: Lanes | None = None
        if mesh is not None:
            self._lanes = Lanes(lambda data, part: evaluate_fold(criterion, natural, data, *part), mesh)

    def _evaluate(self, flat: np.ndarray, near: Point | None) -> tuple[dict[str, np.ndarray], list[str]]:
        if self._lanes is not None:
            return self._on_devices(self._lanes, [flat], near)[0]
        theta = jax.device_put(flat)
        calls = [(rows, theta, self._start(k, near, theta)) for k, rows in enumerate(self.rows)]
        found = self.criterion.workers.in_threads(self._program, calls)
        return record_of(*_stacked([(value, gradient, root, status) for value, gradient, (root, status) in found]))

    def _evaluate_many(self, flats: list[np.ndarray]) -> list[tuple[dict[str, np.ndarray], list[str]]] | None:
        return None if self._lanes is None else self._on_devices(self._lanes, flats, None)

    def _on_devices(
        self, lanes: Lanes, flats: list[np.ndarray], near: Point | None
    ) -> list[tuple[dict[str, np.ndarray], list[str]]]:
        """Records of all points: folds of one shape, for every point, are dealt to the devices together."""
        found: list[list[Any]] = [[None] * len(self.rows) for _ in flats]
        for ks, train, test in self.criterion.alike():
            lots = [(i, k) for i in range(len(flats)) for k in range(len(ks))]
            starts = [self._start(k, near, jnp.asarray(flats[0])) for k in ks]
            rows = np.stack([train[k] for _, k in lots]), np.stack([test[k] for _, k in lots])
            thetas = np.stack([flats[i] for i, _ in lots])
            inits = jax.tree.map(lambda *leaves: np.stack(leaves), *[starts[k] for _, k in lots])
            values, gradients, (roots, status) = lanes((self.criterion.X, self.criterion.y), (rows, thetas, inits))
            for at, (i, k) in enumerate(lots):
                one = jax.tree.map(lambda leaf, at=at: np.asarray(leaf[at]), status)
                found[i][ks[k]] = (values[at], gradients[at], roots[at], one)
        return [record_of(*_stacked(folds)) for folds in found]

    def _start(self, k: int, near: Point | None, theta: Array) -> Any:
        if self._unravel_root is None or self._cold is None:
            self._cold, self._unravel_root = ravel_pytree(self.criterion.initial(k, self.natural(theta)))
        if near is None or not near.usable or near.roots is None:
            return self._unravel_root(self._cold)
        return self._unravel_root(jax.device_put(near.roots[k]))


def _stacked(folds: list[tuple[Any, Any, Any, Status]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Status]]:
    def part(i: int) -> np.ndarray:
        return np.stack([np.asarray(fold[i]) for fold in folds])

    return part(0), part(1), part(2), [status for *_, status in folds]


def curve_through(points: list[Point]) -> Curve:
    """The criterion at points of one dimension, those where it could be evaluated."""
    at = {float(point.theta[0]): point for point in points if point.usable}
    ordered = [at[theta] for theta in sorted(at)]
    values = np.stack([point.values for point in ordered])
    slopes = np.array([point.slope for point in ordered])
    return Curve(np.array(sorted(at)), values.mean(axis=1), fold_error(values), slopes)


def record_of(
    values: np.ndarray, gradients: np.ndarray, roots: np.ndarray, statuses: list[Status]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The record of an evaluation by folds, and what the user should know of it, in the order of the folds."""
    values, gradients = values.astype(np.float64), gradients.astype(np.float64)
    notes: list[str] = []
    usable = True
    for value, gradient, status in zip(values, gradients, statuses, strict=True):
        if int(np.asarray(code_of(status))) != 0:
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
        mesh: Mesh | None = None,
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
        self._lanes: Lanes | None = None
        if mesh is not None and not isinstance(function, Spread):  # which takes the devices for its parts
            self._lanes = Lanes(lambda _, flat: jax.value_and_grad(scalar)(flat), mesh)

    def _evaluate_many(self, flats: list[np.ndarray]) -> list[tuple[dict[str, np.ndarray], list[str]]] | None:
        if self._lanes is None:
            return None
        try:
            values, gradients = self._lanes((), np.stack(flats))
        except (SolveError, jax.errors.JaxRuntimeError):
            return None  # one of them failed: one after another, the others are kept
        return [_record(value, gradient) for value, gradient in zip(values, gradients, strict=True)]

    def _evaluate(self, flat: np.ndarray, near: Point | None) -> tuple[dict[str, np.ndarray], list[str]]:
        del near
        try:
            return _record(*jax.device_get(self._program(jax.device_put(flat))))
        except (SolveError, jax.errors.JaxRuntimeError) as error:
            record, _ = _record(np.nan, np.full(len(flat), np.nan))
            return record, [f"The criterion failed. {_first_sentences(error)}"]


def _record(value: Any, gradient: Any) -> tuple[dict[str, np.ndarray], list[str]]:
    """The record of one evaluation of a function, and what the user should know of it."""
    values, gradients = np.asarray(value, np.float64)[None], np.asarray(gradient, np.float64)[None]
    usable = bool(np.isfinite(values).all() and np.isfinite(gradients).all())
    notes: list[str] = []
    if not usable:
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
