"""From the hyperparameters a model takes to the numbers a search moves: transforms, bounds, trees.

A search works best where a step means the same everywhere: on the logarithm of a positive number, on the logit of a
fraction. So the user writes the hyperparameter as the model wants it, and names how it is to be searched.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ...base import checks, is_traced


class AbstractTransform(abc.ABC):
    """A smooth increasing map from the real line onto the domain of a hyperparameter."""

    @abc.abstractmethod
    def natural(self, u: Array) -> Array:
        """The hyperparameter at the search coordinate `u`."""

    @abc.abstractmethod
    def search(self, x: np.ndarray) -> np.ndarray:
        """The search coordinate of the hyperparameter `x`; NaN outside the domain, infinite on its edge."""

    def limits(self) -> tuple[float, float]:
        """The search coordinates to stay between: beyond them a logit is so flat that every point looks stationary."""
        return -np.inf, np.inf


@final
@dataclass(frozen=True)
class Free(AbstractTransform):
    """Any real number, searched as it is."""

    def natural(self, u: Array) -> Array:
        return u

    def search(self, x: np.ndarray) -> np.ndarray:
        return x


@final
@dataclass(frozen=True)
class Positive(AbstractTransform):
    """A positive number, searched by its logarithm.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.eye(2), jnp.array([2.0, 1.0])
        >>> holdout = icg.tuning.HoldOut(lambda alpha: icg.lasso(X, y, alpha), X, jnp.array([1.5, 0.0]))
        >>> round(float(icg.tune(holdout, 1.0, transforms=icg.tuning.Positive()).theta), 4)
        0.375
    """

    def natural(self, u: Array) -> Array:
        return jnp.exp(u)

    def search(self, x: np.ndarray) -> np.ndarray:
        return np.log(x)


@final
@dataclass(frozen=True)
class Fraction(AbstractTransform):
    """A number between 0 and 1, searched by its logit, between `margin` and `1 - margin`.

    Nearer to the ends the logit is so flat that every point would look stationary; where the best value may be an end
    itself use `bounds=(0, 1)` without a transform.
    """

    margin: float = 1e-3

    def natural(self, u: Array) -> Array:
        return jax.nn.sigmoid(u)

    def search(self, x: np.ndarray) -> np.ndarray:
        return np.log(x) - np.log1p(-x)

    def limits(self) -> tuple[float, float]:
        end = float(np.log(self.margin) - np.log1p(-self.margin))
        return end, -end


@final
@dataclass(frozen=True)
class Bounded(AbstractTransform):
    """A number between `low` and `high`, searched by the logit of its place between them; see `Fraction`."""

    low: float
    high: float
    margin: float = 1e-3

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"Bounded({self.low}, {self.high}) needs two finite numbers, the lower one first.")

    def natural(self, u: Array) -> Array:
        return self.low + (self.high - self.low) * jax.nn.sigmoid(u)

    def search(self, x: np.ndarray) -> np.ndarray:
        place = (x - self.low) / (self.high - self.low)
        return np.log(place) - np.log1p(-place)

    def limits(self) -> tuple[float, float]:
        return Fraction(self.margin).limits()


class Coordinates:
    """The search coordinates of a tree of hyperparameters: where to start, the box to stay in, and the way back.

    Args:
        theta0: the tree where the search starts.
        transforms: a transform for all leaves, or a tree of them that is a prefix of `theta0`; `None`: as it is.
        bounds: a pair `(low, high)` for all leaves, or a tree of pairs that is a prefix of `theta0`; the ends are
            numbers or arrays of the leaf's shape, in the units of `theta0`.

    Raises:
        TypeError: leaves that are no numbers or traced, transforms that are none.
        ValueError: nothing to tune, starts that are not finite or outside their domain, bad bounds.
    """

    def __init__(self, theta0: Any, transforms: Any = None, bounds: Any = None):
        if is_traced(theta0):
            raise TypeError("icg.tune runs a search on concrete numbers; call it outside jit, vmap and grad.")
        try:
            tree = jax.tree.map(lambda leaf: checks.floating(leaf, "a leaf"), theta0)
        except TypeError as error:
            raise TypeError(f"theta0 must be a tree of numbers: {error}") from error
        leaves, self._structure = jax.tree.flatten(tree)
        if sum(leaf.size for leaf in leaves) == 0:
            raise ValueError("theta0 is empty: there is nothing to tune.")
        self._leaves = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
        self.dtype = np.dtype(jnp.result_type(*leaves))
        natural = np.concatenate([np.ravel(leaf).astype(self.dtype) for leaf in leaves])
        if not np.isfinite(natural).all():
            raise ValueError("theta0 is not finite. For a log-penalty start from `jnp.log(alpha)` with alpha > 0.")
        self._transforms = _broadcast(transforms, tree, lambda leaf: isinstance(leaf, AbstractTransform), "transforms")
        self._transforms = [Free() if transform is None else transform for transform in self._transforms]
        for transform in self._transforms:
            if not isinstance(transform, AbstractTransform):
                raise TypeError(
                    "`transforms` must be icg.tuning.Positive(), Fraction(), Bounded(low, high) or Free(), or a tree "
                    f"of them like theta0, and holds a {type(transform).__name__}."
                )
        self.start = self._to_search(natural.astype(np.float64))
        if not np.isfinite(self.start).all():
            raise ValueError("theta0 is outside the domain of its transform: Positive needs > 0, Fraction (0, 1).")
        self.bounded = bounds is not None
        self.low, self.high = self._box(bounds, leaves, tree)
        self.start = np.clip(self.start, self.low, self.high).astype(self.dtype)

    def natural(self, flat: Any) -> Any:
        """The tree of hyperparameters at the search coordinates `flat`; traceable. Of NumPy where `flat` is."""
        parts, at = [], 0
        for transform, leaf in zip(self._transforms, self._leaves, strict=True):
            part: Any = transform.natural(flat[at : at + leaf.size])  # type: ignore[arg-type]
            if isinstance(flat, np.ndarray):  # NumPy brings it into shape without compiling how
                part = np.asarray(part)
            parts.append(part.reshape(leaf.shape).astype(leaf.dtype))
            at += leaf.size
        return jax.tree.unflatten(self._structure, parts)

    def one(self, value: float) -> Any:
        """The tree at the coordinate `value` of a single hyperparameter."""
        return jax.device_put(self.natural(np.full(1, value, self.dtype)))

    def beginning_at(self, start: np.ndarray) -> Coordinates:
        """The same coordinates with another start, or the point of the box that is nearest to it."""
        other = copy.copy(self)
        other.start = np.clip(start, self.low, self.high).astype(self.dtype)
        return other

    @property
    def interval(self) -> tuple[float, float] | None:
        """The bounds of a single hyperparameter in search coordinates, or `None` where none were given."""
        if not self.bounded:
            return None
        low, high = float(self.low[0]), float(self.high[0])
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError(
                f"The bounds of a single hyperparameter must be finite where it is searched, and are [{low}, {high}] "
                "there. Give a positive lower bound to a Positive one, and (low, high) within (0, 1) to a Fraction."
            )
        return low, high

    def _to_search(self, flat: np.ndarray) -> np.ndarray:
        parts, at = [], 0
        with np.errstate(divide="ignore", invalid="ignore"):
            for transform, leaf in zip(self._transforms, self._leaves, strict=True):
                parts.append(transform.search(flat[at : at + leaf.size]))
                at += leaf.size
        return np.concatenate(parts)

    def _box(self, bounds: Any, leaves: list[Any], tree: Any) -> tuple[np.ndarray, np.ndarray]:
        limits = [transform.limits() for transform in self._transforms]
        least = np.repeat([low for low, _ in limits], [leaf.size for leaf in self._leaves])
        most = np.repeat([high for _, high in limits], [leaf.size for leaf in self._leaves])
        if bounds is None:
            return least, most
        pairs = _broadcast(bounds, tree, _is_pair, "bounds")
        low, high = [], []
        for pair, leaf in zip(pairs, leaves, strict=True):
            if pair is None:
                pair = (-np.inf, np.inf)
            if not _is_pair(pair):
                raise ValueError(f"bounds={bounds} must be a pair (low, high), or a tree of pairs like theta0.")
            try:
                ends = [np.broadcast_to(np.asarray(end, np.float64), leaf.shape).ravel() for end in pair]
            except ValueError as error:
                raise ValueError(f"A bound does not fit its hyperparameter of shape {leaf.shape}: {error}") from error
            low.append(ends[0])
            high.append(ends[1])
        lows, highs = np.concatenate(low), np.concatenate(high)
        if np.isnan(lows).any() or np.isnan(highs).any() or not (lows < highs).all():
            raise ValueError(f"bounds={bounds} must be numbers, the lower one first.")
        # an end beyond the domain of the transform binds nowhere
        return np.fmax(self._to_search(lows), least), np.fmin(self._to_search(highs), most)


def _is_pair(value: Any) -> bool:
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    return all(isinstance(end, int | float | np.generic | np.ndarray | Array) for end in value)


def _broadcast(prefix: Any, tree: Any, is_leaf: Callable[[Any], bool], name: str) -> list[Any]:
    """The entries of `prefix`, one for each leaf of `tree`."""
    try:
        spread = jax.tree.broadcast(prefix, tree, is_leaf=lambda leaf: leaf is None or is_leaf(leaf))
    except ValueError as error:
        raise ValueError(f"`{name}` must have the structure of theta0, or be one for all of it: {error}") from error
    return jax.tree.leaves(spread, is_leaf=lambda leaf: leaf is None or is_leaf(leaf))
