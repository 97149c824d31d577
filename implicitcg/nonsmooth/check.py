"""Is a claimed derivative of a nonsmooth function an element of a conservative Jacobian? A test by numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class ConservativeCheck:
    """What the check found; `bool(check)` is its verdict.

    Attributes:
        passed: whether nothing spoke against the field.
        semismooth: the ratio `|F(x + h) - F(x) - A(x + h) h| / |h|` at each length of `h`, largest over directions.
        curves: the largest relative defect of `F` along random curves against the integral of the field.
        worst: the displacement `h` with the largest ratio at the shortest length.
        reason: a sentence.
    """

    passed: bool
    semismooth: np.ndarray
    curves: float
    worst: np.ndarray
    reason: str

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return self.reason


def check_conservative(
    fn: Callable[[Any], Any],
    field: Callable[[Any], Any],
    x: Any,
    *,
    directions: int = 32,
    lengths: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4),
    curves: int = 4,
    radius: float = 1.0,
    steps: int = 2000,
    tol: float = 0.05,
    seed: int = 0,
) -> ConservativeCheck:
    """Test numerically whether `field` selects elements of a conservative Jacobian of `fn` near `x`.

    Two necessary conditions, each by random numbers. *Semismooth criterion*: with `A` the field at `x + h`, in random
    directions, along the axes and both ways, ::

        |F(x + h) - F(x) - A h| / |h| -> 0    as h -> 0.

    *Curves*: along random smooth loops and arcs through `x` within `radius`, the integral of `field(g(t)) g'(t)` is the
    increment of `F`. A field with the wrong slope on a set that curves cross without staying in it, such as a point,
    passes, and rightly: a conservative Jacobian may be enlarged there.

    Arguments:
        fn: a function of one array to one array.
        field: the claimed Jacobian, `x -> (*out, *in)`.
        x: the point, usually on a kink.
        directions: how many random displacements `h`, besides the axes.
        lengths: of the displacements, decreasing.
        curves: how many, every other one closed.
        radius: how far the curves go, roughly.
        steps: of their quadrature by midpoints, whose error at kinks is `O(radius / steps)`.
        tol: how small the last ratio, and the defect along curves relative to the size of the field, must be.
        seed: of the random numbers.

    Returns: a `ConservativeCheck`. It proves nothing when it passes; when it fails it shows where.

    Source: Qi, Sun, A nonsmooth version of Newton's method (1993), for the criterion; Bolte, Pauwels, Conservative set
    valued fields (Math. Prog. 2021), for the curves.
    """
    x = jnp.asarray(x)
    random = np.random.default_rng(seed)
    flat = jnp.ravel(x)
    count = flat.size

    def value(point):
        return jnp.ravel(fn(point.reshape(x.shape)))

    def slope(point):
        return jnp.asarray(field(point.reshape(x.shape))).reshape(-1, count)

    axes = np.concatenate([np.eye(count), -np.eye(count)])[: 2 * directions]
    units = np.concatenate([axes, random.normal(size=(directions, count))])
    units = units / np.linalg.norm(units, axis=1, keepdims=True)

    @jax.jit
    def defects(h):
        def one(h):
            return jnp.linalg.norm(value(flat + h) - value(flat) - slope(flat + h) @ h)

        return jax.vmap(one)(h), jax.vmap(lambda h: jnp.linalg.norm(slope(flat + h)))(h)

    ratios, size = [], 0.0
    for length in lengths:
        defect, slopes = (np.asarray(part) for part in defects(jnp.asarray(length * units, x.dtype)))
        ratios.append(defect / length)
        size = max(size, float(slopes.max()))
    largest = np.asarray([row.max() for row in ratios])
    curve = _curve_defects(value, slope, flat, random, curves, radius, steps).max(initial=0.0)
    return _verdict(largest, ratios[-1], units * lengths[-1], curve, size, tol)


def _curve_defects(value, slope, flat, random, curves, radius, steps) -> np.ndarray:
    """The increment of the function along curves against the integral of the field, relative to the field's size."""
    times = jnp.asarray((np.arange(steps) + 0.5) / steps, flat.dtype)
    coefficients = jnp.asarray(random.normal(size=(curves, 2, 3, flat.size)) * radius / 3, flat.dtype)
    turns = 1 + np.arange(curves) % 2  # half waves: open curves; whole waves: closed ones
    waves = jnp.asarray(np.pi * turns[:, None] * np.arange(1, 4), flat.dtype)

    def defect(coefficients, waves):
        def position(t):
            sine, cosine = coefficients
            return flat + jnp.sin(waves * t) @ sine + (jnp.cos(waves * t) - 1) @ cosine

        def speed(t):
            point, velocity = jax.jvp(position, (t,), (jnp.ones_like(t),))
            matrix = slope(point)
            return matrix @ velocity, jnp.linalg.norm(matrix) * jnp.linalg.norm(velocity)

        pieces, sizes = jax.vmap(speed)(times)
        increment = value(position(jnp.ones_like(times[0]))) - value(flat)
        missed = jnp.linalg.norm(increment - pieces.mean(0))
        rounding = jnp.finfo(flat.dtype).eps ** 0.75 * (1 + jnp.linalg.norm(value(flat)))
        return missed / (sizes.mean() + jnp.linalg.norm(increment) + rounding)

    return np.asarray(jax.jit(jax.vmap(defect))(coefficients, waves))


def _verdict(largest, last, displacements, curve, size, tol) -> ConservativeCheck:
    allowed = tol * max(size, 1.0)
    worst = displacements[int(np.argmax(last))]
    finite = bool(np.isfinite(largest).all() and np.isfinite(curve))
    if not finite:
        reason = "The field or the function is not finite near the point."
    elif largest[-1] > allowed:
        reason = (
            f"Not conservative: after a displacement of length {np.linalg.norm(worst):.1g} the field misses the change "
            f"of the function by {largest[-1]:.3g} of that length, and this does not shrink with it."
        )
    elif curve > tol:
        reason = (
            f"Not conservative: along a curve the integral of the field misses the change of the function by "
            f"{curve:.3g} of its size."
        )
    else:
        reason = "Nothing speaks against the field: it passes the semismooth criterion and the curves tried."
    passed = finite and largest[-1] <= allowed and curve <= tol
    return ConservativeCheck(bool(passed), largest, float(curve), worst, reason)
