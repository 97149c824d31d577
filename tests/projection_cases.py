"""The table of projections: one row a set, with the points where its branches meet and a description for cvxpy.

`function(x, *parameters)` acts on one vector of length `size`. `kinks` are points (with their own parameters) built to
sit on a kink. `constraints(p, *parameters)` describes the set to cvxpy, for a check that shares no code with ours.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np

import implicitcg as icg

P = icg.projections


@dataclasses.dataclass(frozen=True, eq=False)
class Projection:
    name: str
    function: Callable[..., Any]
    size: int
    parameters: tuple
    constraints: Callable[..., list]
    kinks: tuple = ()  # pairs (x, parameters)
    scaled: tuple | None = ()  # which parameters grow with the set when it is blown up; None: it cannot be
    is_curved: bool = False
    limits: bool = True  # whether all elements listed at the first kinks are limits of Jacobians nearby
    total: bool = False  # whether parameters may only change with the same total

    def theta(self, parameters: tuple | None = None, dtype: Any = np.float64) -> tuple:
        given = self.parameters if parameters is None else parameters
        return tuple(jnp.asarray(np.asarray(p, dtype)) for p in given)

    @functools.cached_property
    def value(self) -> Callable[..., Any]:
        """The projection of a batch, compiled once."""
        return jax.jit(jax.vmap(self.function, in_axes=(0, *[None] * len(self.parameters))))

    @functools.cached_property
    def jacobians(self) -> Callable[..., Any]:
        """Forward Jacobians of a batch in all arguments, compiled once."""
        every = tuple(range(1 + len(self.parameters)))
        axes = (0, *[None] * len(self.parameters))
        return jax.jit(jax.vmap(jax.jacfwd(self.function, argnums=every), in_axes=axes))


def points(size: int, count: int = 40, seed: int = 0, scale: float = 2.0) -> np.ndarray:
    """Random points: plain ones, ones of mixed magnitudes, and the usual suspects."""
    rng = np.random.default_rng(seed)
    plain = scale * rng.standard_normal((count, size))
    mixed = rng.standard_normal((count // 2, size)) * 10.0 ** rng.integers(-3, 3, (count // 2, size))
    suspects = [np.zeros(size), np.ones(size), -np.ones(size), np.eye(size)[0], -np.eye(size)[-1], 1e-300 * plain[0]]
    return np.concatenate([plain, mixed, np.stack(suspects)])


n = 5
_rng = np.random.default_rng(4)
_low, _high, _w = -_rng.random(n), _rng.random(n), _rng.standard_normal(n)
_A, _G = _rng.standard_normal((2, n)), _rng.standard_normal((3, n))
_inside = 0.1 * _rng.standard_normal(n)
_b, _h = _A @ _inside, _G @ _inside + 0.2
_c = float(_w @ (_low + 0.4 * (_high - _low)))
_rows, _columns = np.array([1.0, 1.5]), np.array([0.3, 1.2, 1.0])


def _transport(x, rows, columns):
    return P.transport(x.reshape(2, 3), rows, columns).reshape(-1)


def _psd(x):
    return icg.cones.PSD(3).project(x)


def _scaled_triangle(V):
    r = np.sqrt(2)
    return [V[0, 0], r * V[0, 1], V[1, 1], r * V[0, 2], r * V[1, 2], V[2, 2]]


def _psd_constraints(p):
    V = cp.Variable((3, 3), PSD=True)
    return [p[i] == entry for i, entry in enumerate(_scaled_triangle(V))]


SETS = [
    Projection(
        "simplex",
        P.simplex,
        n,
        (1.3,),
        lambda p, r: [p >= 0, cp.sum(p) == r],
        kinks=(
            ([1.0, 0.0, 0.0, 0.0, -1.0], (1.0,)),  # entries that tie with the threshold
            ([2.0, 1.0, 1.0, 0.0, 0.0], (1.0,)),
            ([1.0, 0.2, 0.0, 0.0, 0.3], (0.0,)),  # radius 0
        ),
        scaled=(0,),
    ),
    Projection(
        "l1 ball",
        P.l1_ball,
        n,
        (1.3,),
        lambda p, r: [cp.norm1(p) <= r],
        kinks=(
            ([1.0, -0.5, 0.25, 0.0, 0.0], (1.75,)),  # on the sphere, at an edge
            ([2.0, -1.0, 1.0, 0.1, 0.0], (1.0,)),  # entries that tie with the threshold
            ([0.0, 0.0, 0.0, 0.0, 0.0], (0.0,)),
        ),
        scaled=(0,),
    ),
    Projection(
        "l2 ball",
        P.l2_ball,
        n,
        (1.3,),
        lambda p, r: [cp.norm2(p) <= r],
        limits=False,
        kinks=(([1.0, 2.0, 0.0, 0.0, 2.0], (3.0,)), ([0.0] * n, (0.0,)), ([1.0, 0.0, 0.0, 0.0, 0.0], (0.0,))),
        scaled=(0,),
        is_curved=True,
    ),
    Projection(
        "box",
        P.box,
        n,
        (_low, _high),
        lambda p, low, high: [p >= low, p <= high],
        limits=False,
        kinks=((_low, (_low, _high)), ([1.0, 0.0, 2.0, 0.5, 0.5], ([0.0, 0, 0, 0.5, 0.5], [1.0, 1, 1, 0.5, 0.5]))),
        scaled=(0, 1),
    ),
    Projection("nonnegative", P.nonnegative, n, (), lambda p: [p >= 0], kinks=(([0.0, 1.0, 0.0, -1.0, 2.0], ()),)),
    Projection("hyperplane", P.hyperplane, n, (_w, 0.3), lambda p, a, b: [a @ p == b], scaled=(1,), is_curved=True),
    Projection(
        "halfspace",
        P.halfspace,
        n,
        (_w, 0.3),
        lambda p, a, b: [a @ p <= b],
        kinks=(([1.0, 0.0, 2.0, 0.0, 0.0], ([1.0, 0, 1, 0, 0], 3.0)),),
        scaled=(1,),
        is_curved=True,
    ),
    Projection("affine set", P.affine_set, n, (_A, _b), lambda p, A, b: [A @ p == b], scaled=(1,), is_curved=True),
    Projection(
        "polyhedron",
        P.polyhedron,
        n,
        (_A, _b, _G, _h),
        lambda p, A, b, G, h: [A @ p == b, G @ p <= h],
        scaled=(1, 3),
        is_curved=True,
    ),
    Projection(
        "capped simplex",
        P.capped_simplex,
        n,
        (2.4,),
        lambda p, t: [p >= 0, p <= 1, cp.sum(p) == t],
        limits=False,
        kinks=(
            ([2.0, 0.5, 0.5, 0.0, -1.0], (2.0,)),
            ([1.0, 1.0, 0.0, 0.0, 0.0], (2.0,)),  # a vertex, both of whose neighbours tie
            ([0.1, 0.2, 0.3, 0.4, 0.5], (0.0,)),
        ),
        scaled=None,
    ),
    Projection(
        "box section",
        P.box_section,
        n,
        (_low, _high, _w, _c),
        lambda p, low, high, w, c: [p >= low, p <= high, w @ p == c],
        kinks=(
            ([1.0, 0.5, 0.0, 0.0, 0.5], ([0.0] * 5, [1.0] * 5, [1.0, -1, 1, 2, 1], 1.0)),
            ([1.0, 0.5, 0.0, -1.0, -1.0], ([0.0] * 5, [1.0] * 5, [1.0, 1, 1, 1, 1], 1.5)),
        ),
        scaled=(0, 1, 3),
        is_curved=True,
    ),
    Projection(
        "transport",
        _transport,
        6,
        (_rows, _columns),
        lambda p, r, c: [
            p >= 0,
            p[:3].sum() == r[0],
            p[3:].sum() == r[1],
            p[0] + p[3] == c[0],
            p[1] + p[4] == c[1],
            p[2] + p[5] == c[2],
        ],
        limits=False,
        kinks=(
            ([1.0, 0.5, 0.0, 0.0, 0.5, 1.0], ([1.5, 1.5], [1.0, 1.0, 1.0])),
            ([1.0, 0.0, 0.0, 0.0, 1.0, 1.0], ([1.0, 2.0], [1.0, 1.0, 1.0])),
        ),
        scaled=(0, 1),
        total=True,
    ),
]

CONES = [
    Projection(
        "second-order cone",
        P.second_order_cone,
        n,
        (),
        lambda p: [cp.norm2(p[1:]) <= p[0]],
        kinks=(([5.0, 3.0, 0.0, 4.0, 0.0], ()), ([-5.0, 3.0, 0.0, 4.0, 0.0], ()), ([0.0] * n, ())),
        is_curved=True,
    ),
    Projection(
        "exponential cone",
        P.exponential_cone,
        3,
        (),
        lambda p: [cp.ExpCone(p[0], p[1], p[2])],
        kinks=(
            ([0.0, 1.0, 1.0], ()),  # boundary, polar boundary, apex, and the seams of the octant
            ([1.0, 1.0, -1.0], ()),
            ([0.0, 0.0, 0.0], ()),
            ([-1.0, 0.0, 1.0], ()),
            ([-1.0, 0.0, -1.0], ()),
            ([0.0, -1.0, 1.0], ()),
            ([0.0, -1.0, -1.0], ()),
            ([-1.0, -1.0, 0.0], ()),
        ),
        is_curved=True,
    ),
    Projection(
        "power cone",
        P.power_cone,
        3,
        (0.3,),
        lambda p, a: [cp.PowCone3D(p[0], p[1], p[2], float(a))],
        kinks=(
            ([1.0, 1.0, 1.0], (0.3,)),  # boundary, polar boundary, apex, and the faces
            ([-0.5, -0.5, 1.0], (0.5,)),
            ([0.0, 0.0, 0.0], (0.4,)),
            ([1.0, 0.0, 0.0], (0.6,)),
            ([-1.0, 0.0, 0.0], (0.6,)),
        ),
        is_curved=True,
    ),
    Projection(
        "semidefinite cone",
        _psd,
        6,
        (),
        _psd_constraints,
        limits=False,
        kinks=(([1.0, 0.0, 0.0, 0.0, 0.0, -1.0], ()), ([0.0] * 6, ()), ([1.0, 0.0, 0.0, 0.0, 0.0, 0.0], ())),
        is_curved=True,
    ),
    Projection(
        "dual of the exponential cone",
        lambda x: icg.cones.Exponential().dual().project(x),
        3,
        (),
        lambda p: [cp.ExpCone(-p[1], -p[0], np.e * p[2])],
        is_curved=True,
    ),
]
