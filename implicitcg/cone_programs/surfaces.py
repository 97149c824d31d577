"""Projections on the exponential and the power cone in NumPy, many at a time, with the frame of the surface there.

They serve the host side of cone programs, where JAX may not be called. The formulas are those of
`implicitcg.penalties.cones`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Surface:
    """`point` is the projection of `k` vectors; where `curved`, its Jacobian is `p p^T + bend t t^T`.

    `across` is `t` and `normal` the unit normal, orthogonal to it and to the ray `p`. Elsewhere the Jacobian is
    diagonal with the entries `moves` (0 or 1).
    """

    point: np.ndarray
    curved: np.ndarray
    normal: np.ndarray
    across: np.ndarray
    bend: np.ndarray
    moves: np.ndarray


def exponential_surface(v: np.ndarray, hint: np.ndarray | None = None) -> Surface:
    """The projection of `v` `(k, 3)` on the exponential cone; `hint` is about the projection."""
    # a projection on a cone scales with `v`, so the search is among numbers of at most one, whatever the units
    size = np.abs(v).max(axis=1)
    unscaled = np.where(size > 0, size, 1)
    x, y, z = (v / unscaled[:, None]).T
    octant = (x <= 0) & (y <= 0)
    a, b = np.where(octant, 1, x), np.where(octant, 1, y)
    far = -1.1 * np.log(TINY)
    from_polar = 1 - b / np.where(x > 0, x, 1)
    from_cone = a / np.where(y > 0, y, 1)
    low = np.where(x > 0, from_polar, np.minimum(from_cone, 0) - far)
    high = np.where(y > 0, from_cone, np.maximum(from_polar, 0) + far)

    # On the surface the projection is `A (s, 1, e^s)` and what is left of `v` is `B` times the normal there: two of the
    # three equations give `A` and `B` for every `s`, and the third is one equation in `s`. It increases between the
    # slopes at which `v` would be in the cone or in its polar, which is the bracket; `far` is where exponentials end.
    def weights(s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        square = s * s - s + 1
        return (b + (s - 1) * a) / square, (a - s * b) / square, square

    def excess(s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`A e^s - B e^{-s} - z` over the larger exponential, and its slope up to a positive factor of the value."""
        A, B, square = weights(s)
        slope_A = (a - A * (2 * s - 1)) / square
        slope_B = (-b - B * (2 * s - 1)) / square
        decay = np.exp(-np.abs(s))
        up, down = np.where(s >= 0, 1, decay * decay), np.where(s >= 0, decay * decay, 1)
        return A * up - B * down - z * decay, (A + slope_A) * up + (B - slope_B) * down

    with np.errstate(over="ignore"):
        inside = ~octant & (y > 0) & (b * np.exp(np.minimum(from_cone, far)) <= z)
        polar = ~octant & (x > 0) & (a * np.exp(np.minimum(-from_polar, far)) <= -z)
    curved = ~(octant | inside | polar)
    middle = np.where(octant, 0, np.where(inside, from_cone, from_polar))
    guess = None if hint is None else hint[:, 0] / np.where(hint[:, 1] > 0, hint[:, 1], 1)
    s = bracketed_newton_on_host(
        excess, np.where(curved, low, middle), np.where(curved, np.maximum(low, high), middle), guess
    )
    A, B, _ = weights(s)
    decay = np.exp(-np.abs(s))
    height = np.where(s >= 0, z + B * decay, A * decay)
    A = np.maximum(np.where(s >= 0, height * decay, A), 0)
    ray = np.stack([s * A, A, np.maximum(height, 0)], axis=1)
    flat = np.stack([x, np.zeros_like(x), np.maximum(z, 0)], axis=1)
    point = unscaled[:, None] * np.where(octant[:, None], flat, np.where(polar[:, None], 0, ray))
    point = np.where(inside[:, None], v, point)
    one, long = np.ones_like(s), np.maximum(np.abs(s), 1)
    up = (s >= 0)[:, None]
    along = _unit(np.where(up, _three(s * decay, decay, one), _three(s / long, 1 / long, decay / long)))
    normal = _unit(np.where(up, _three(-1 / long, (s - 1) / long, decay / long), _three(-decay, (s - 1) * decay, one)))
    across = np.cross(along, normal)
    bent = np.maximum(B, 0) * np.square(across[:, 0] - s * across[:, 1])
    bend = A / np.where(A + bent > 0, A + bent, 1)
    moves = np.stack([octant & (x < 0), np.zeros_like(octant), octant & (z > 0)], axis=1) | inside[:, None]
    return Surface(point, curved, normal, across, bend, moves)


def power_surface(v: np.ndarray, a: np.ndarray, hint: np.ndarray | None = None) -> Surface:
    """The projection of `v` `(k, 3)` on power cones with exponents `a` `(k,)`; `hint` is about the projection."""
    size = np.abs(v).max(axis=1)
    unscaled = np.where(size > 0, size, 1)
    x, y, z = (v / unscaled[:, None]).T
    height = np.abs(z)
    inside = (x >= 0) & (y >= 0) & (_mean(x, y, a) >= height)
    polar = (x <= 0) & (y <= 0) & (_mean(-x / a, -y / (1 - a), a) >= height)
    flat = ~inside & ~polar & (height == 0)
    curved = ~(inside | polar | flat)
    some = np.where(curved, height, 1)

    # The unknown is the height `r` of the projection, between 0 and `|z|`. In `q`, its logit, neither end is near: an
    # `r` of 1e-100 and one that lacks 1e-100 of `|z|` are both had to full relative precision.
    def coordinates(q: np.ndarray) -> tuple[np.ndarray, ...]:
        """`r = |z_0| / (1 + e^{-q})`, and for `x` and `y` their values and `d log / dq`."""
        r, rest = some / (1 + np.exp(-q)), some / (1 + np.exp(q))
        product = r * rest
        turn = product * (rest - r) / some
        found: list[np.ndarray] = [r]
        for start, share in ((x, a), (y, 1 - a)):
            root = np.sqrt(start * start + 4 * share * product)
            value = np.where(start > 0, (start + root) / 2, 2 * share * product / np.maximum(root - start, TINY))
            value = np.maximum(value, TINY)
            found += [value, share * turn / np.maximum(root, TINY) / value]
        return tuple(found)

    def excess(q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r, X, slope_X, Y, slope_Y = coordinates(q)
        slope = 1 / (1 + np.exp(q)) - a * slope_X - (1 - a) * slope_Y
        return np.log(np.maximum(r, TINY)) - a * np.log(X) - (1 - a) * np.log(Y), slope

    far = np.where(curved, 350.0, 0.0)  # of sizes that squares stand
    guess = None
    if hint is not None:
        r = np.clip(np.abs(hint[:, 2]) / unscaled, TINY, None)
        guess = np.log(r / np.maximum(some - r, 1e-12 * some))
    q = bracketed_newton_on_host(excess, -far, far, guess)
    r, X, _, Y, _ = coordinates(q)
    sign = np.where(z < 0, -1.0, 1.0)
    surface = np.stack([X, Y, sign * r], axis=1)
    face = np.stack([np.maximum(x, 0), np.maximum(y, 0), np.zeros_like(z)], axis=1)
    point = unscaled[:, None] * np.where(polar[:, None], 0, np.where(flat[:, None], face, surface))
    point = np.where(inside[:, None], v, point)
    along = _unit(surface)
    slope = np.stack([-a * Y, -(1 - a) * X, sign * X * Y / np.maximum(r, TINY)], axis=1)
    normal = _unit(slope)
    steep = r * np.sum(slope * slope, axis=1)
    bent = a * (1 - a) * (some - r) * np.sum(surface * surface, axis=1)
    bend = steep / np.where(steep + bent > 0, steep + bent, 1)
    moves = np.stack([flat & (x > 0), flat & (y > 0), np.zeros_like(flat)], axis=1) | inside[:, None]
    return Surface(point, curved, normal, np.cross(along, normal), bend, moves)


def bracketed_newton_on_host(
    function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    low: np.ndarray,
    high: np.ndarray,
    guess: np.ndarray | None = None,
) -> np.ndarray:
    """The root in `[low, high]` of a function that increases there and returns its slope, entry by entry.

    A guess, where given, is improved by plain Newton steps first; the bracket serves those that it does not settle.
    """
    x, step = (low + high) / 2, high - low
    if guess is not None:
        near = np.clip(guess, low, high)
        settled = np.zeros(near.shape, bool)
        for _ in range(8):
            value, slope = function(near)
            moved = np.clip(near - value / np.where(slope > 0, slope, np.inf), low, high)
            # a short step ends at rounding, since Newton's method converges quadratically
            settled = (slope > 0) & (np.abs(moved - near) <= 1e-9 * (1 + np.abs(near)))
            near = moved
            if settled.all():
                return near
        low, high = np.where(settled, near, low), np.where(settled, near, high)
        x, step = (low + high) / 2, high - low
    # Newton's step where it stays in the bracket and halves the step before it, the middle elsewhere. All entries take
    # part until the last has settled: a mask costs more than their steps.
    for _ in range(200):
        if not np.any((np.abs(step) > 4e-16 * np.abs(x)) & (high > low)):
            break
        value, slope = function(x)
        low, high = np.where(value <= 0, x, low), np.where(value >= 0, x, high)
        newton = x - value / np.where(slope > 0, slope, 1)
        good = (slope > 0) & (newton >= low) & (newton <= high) & (np.abs(newton - x) <= np.abs(step) / 2)
        following = np.where(good, newton, (low + high) / 2)
        step, x = following - x, following
    return x


def _mean(x: np.ndarray, y: np.ndarray, a: np.ndarray) -> np.ndarray:
    positive = (x > 0) & (y > 0)
    return np.where(positive, np.where(positive, x, 1) ** a * np.where(positive, y, 1) ** (1 - a), 0)


def _three(*parts: np.ndarray) -> np.ndarray:
    return np.stack(parts, axis=1)


def _unit(v: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.sum(v * v, axis=1, keepdims=True))
    return v / np.where(length == 0, 1, length)
