"""Every proximal map of `icg.prox`: optimal, firmly nonexpansive, and with the right derivative, also at kinks."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, central_difference, direction_like, inner

import implicitcg as icg
from implicitcg.nonsmooth.hull import distance

N = 6
GROUPS = [0, 0, 1, 2, 1, 2]
WEIGHTS = np.array([2.0, 1.5, 1.0, 1.0, 0.25, 0.0])


@dataclasses.dataclass(frozen=True, eq=False)
class Map:
    """A row: the map, its parameters, the penalty in NumPy, the gauge of its dual, the penalty in cvxpy."""

    name: str
    prox: Callable[..., Any]
    parameters: tuple
    penalty: Callable[[np.ndarray], float]
    excess: Callable[[np.ndarray], float] | None  # of a dual vector over the dual set; None where that is everything
    cvxpy: Callable[[Any], Any]
    matrix: bool = False

    def __call__(self, x, *parameters):
        x = x.reshape(2, 3) if self.matrix else x
        return self.prox(x, *(parameters or self.parameters)).reshape(-1)


def _sorted(v):
    return np.sort(np.abs(v))[::-1]


def _group(z):
    return np.sqrt(np.bincount(GROUPS, z**2))


def _spectrum(z):
    return np.linalg.svd(z.reshape(2, 3), compute_uv=False)


def _sorted_l1(p):
    sums = [cp.sum_largest(cp.abs(p), k + 1) for k in range(N)]
    return sum(d * s for d, s in zip(-np.diff(WEIGHTS, append=0.0), sums, strict=True) if d > 0)


MAPS = [
    Map(
        "l1",
        icg.prox.l1,
        (0.7,),
        lambda z: 0.7 * np.abs(z).sum(),
        lambda v: np.abs(v).max() - 0.7,
        lambda p: 0.7 * cp.norm1(p),
    ),
    Map(
        "l2",
        icg.prox.l2,
        (1.5,),
        lambda z: 1.5 * np.linalg.norm(z),
        lambda v: np.linalg.norm(v) - 1.5,
        lambda p: 1.5 * cp.norm2(p),
    ),
    Map(
        "linf",
        icg.prox.linf,
        (2.0,),
        lambda z: 2 * np.abs(z).max(),
        lambda v: np.abs(v).sum() - 2,
        lambda p: 2 * cp.norm_inf(p),
    ),
    Map(
        "group l2",
        lambda x, t: icg.prox.group_l2(x, t, GROUPS),
        (np.array([0.5, 1.0, 1.5]),),
        lambda z: _group(z) @ [0.5, 1.0, 1.5],
        lambda v: (_group(v) - [0.5, 1.0, 1.5]).max(),
        lambda p: sum(t * cp.norm2(p[np.flatnonzero(np.asarray(GROUPS) == g)]) for g, t in enumerate([0.5, 1.0, 1.5])),
    ),
    Map(
        "sorted l1",
        icg.prox.sorted_l1,
        (WEIGHTS,),
        lambda z: WEIGHTS @ _sorted(z),
        lambda v: (np.cumsum(_sorted(v)) - np.cumsum(WEIGHTS)).max(),
        _sorted_l1,
    ),
    Map(
        "total variation",
        icg.prox.total_variation,
        (0.8,),
        lambda z: 0.8 * np.abs(np.diff(z)).sum(),
        lambda v: max(np.abs(np.cumsum(v)).max() - 0.8, np.abs(v.sum())),
        lambda p: 0.8 * cp.norm1(cp.diff(p)),
    ),
    Map(
        "nuclear norm",
        icg.prox.nuclear_norm,
        (1.0,),
        lambda z: _spectrum(z).sum(),
        lambda v: _spectrum(v).max() - 1,
        lambda p: cp.normNuc(cp.reshape(p, (2, 3), order="C")),
        True,
    ),
    Map(
        "nonnegative l1",
        icg.prox.nonnegative_l1,
        (0.7,),
        lambda z: 0.7 * z.sum() if (z >= 0).all() else np.inf,
        lambda v: v.max() - 0.7,
        lambda p: 0.7 * cp.sum(p) + 1e9 * cp.sum(cp.neg(p)),
    ),
    Map(
        "elastic net",
        icg.prox.elastic_net,
        (1.0, 0.4),
        lambda z: 0.4 * np.abs(z).sum() + 0.3 * z @ z,
        None,
        lambda p: 0.4 * cp.norm1(p) + 0.3 * cp.sum_squares(p),
    ),
    Map(
        "huber",
        icg.prox.huber,
        (0.8, 0.5),
        lambda z: 0.8 * np.where(np.abs(z) <= 0.5, z**2 / 2, 0.5 * np.abs(z) - 0.125).sum(),
        None,
        lambda p: 0.4 * cp.sum(cp.huber(p, 0.5)),
    ),
]
every_map = pytest.mark.parametrize("row", MAPS, ids=lambda row: row.name)
HOMOGENEOUS = [row for row in MAPS if row.excess is not None]

RANDOM = np.random.default_rng(0).standard_normal((8, N)) * np.array([[0.3], [1], [1], [2], [2], [3], [10], [100]])
ADVERSARIAL = np.array(
    [
        np.zeros(N),
        np.ones(N),
        -2.0 * np.ones(N),
        [1, 1, 2, 2, 3, 3],
        [3, -3, 3, -3, 3, -3],
        [1, 1 + 1e-9, 1, 1 - 1e-9, 1, 1],
        [0, 0, 0, 5, 0, 0],
        [1e8, 1, 1e-8, 0, -1e-8, -1e8],
        np.arange(N),
        -np.arange(N),
        [0.7, -0.7, 0.8, 1.5, 0, 2],
        np.full(N, 1e-300),
    ]
)
POINTS = np.concatenate([RANDOM, ADVERSARIAL])


@functools.cache
def compiled(row: Map):
    """Values and Jacobians of a row at many points, compiled once and shared by the laws."""
    strengths = (None,) * len(row.parameters)
    return jax.jit(jax.vmap(row)), jax.jit(jax.vmap(jax.jacfwd(row))), jax.jit(jax.vmap(row, (0, *strengths)))


@pytest.mark.parametrize("row", HOMOGENEOUS, ids=lambda row: row.name)
@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8])
def test_moreau_the_rest_lies_in_the_dual_ball_and_is_aligned_with_the_prox(row, scale):
    # for a gauge g: x - p in the polar set of g and <x - p, p> = g(p), which together say p = prox_g(x)
    scaled = tuple(np.asarray(t) * scale for t in row.parameters)
    values = np.asarray(compiled(row)[2](jnp.asarray(scale * POINTS), *scaled))
    for x, p in zip(scale * POINTS, values, strict=True):
        size = np.abs(x).max() + scale  # rounding is relative to the largest entry
        assert row.excess((x - p) / scale) * scale <= 1e-14 * size * N
        assert (x - p) @ p == pytest.approx(scale * row.penalty(p), abs=1e-14 * size**2 * N)


@every_map
def test_the_result_is_the_minimiser_that_clarabel_finds(row):
    point, p = cp.Parameter(N), cp.Variable(N)
    problem = cp.Problem(cp.Minimize(row.cvxpy(p) + cp.sum_squares(p - point) / 2))
    picked = POINTS[[1, 3, 8, 11, 12, 18]]
    for x, found in zip(picked, np.asarray(compiled(row)[0](jnp.asarray(picked))), strict=True):
        point.value = x
        problem.solve(solver="CLARABEL")
        # Clarabel stops at a gap of 1e-8, and the objective is 1-strongly convex: the square root of twice that
        np.testing.assert_allclose(found, p.value, atol=2e-4 * (1 + np.abs(x).max()))
        objective = row.penalty(found) + ((found - x) ** 2).sum() / 2
        assert objective <= problem.value + 1e-7 * (1 + abs(problem.value))


@every_map
def test_firm_nonexpansiveness(row):
    points = np.concatenate([RANDOM, ADVERSARIAL[:6]])
    values = np.asarray(compiled(row)[0](jnp.asarray(points)))
    dx, dp = points[:, None] - points, values[:, None] - values
    # rounding of products of the largest entries
    assert np.all((dp * dp).sum(-1) <= (dp * dx).sum(-1) + 1e-14 * (1 + np.abs(dx).max(-1) ** 2))


@every_map
def test_every_jacobian_is_finite_symmetric_and_between_zero_and_the_identity(row):
    for jacobian in np.asarray(compiled(row)[1](jnp.asarray(POINTS))):
        assert np.isfinite(jacobian).all()
        np.testing.assert_allclose(jacobian, jacobian.T, atol=1e-14)
        eigenvalues = np.linalg.eigvalsh(jacobian)
        assert eigenvalues.min() > -1e-14 and eigenvalues.max() < 1 + 1e-14


@every_map
def test_derivatives_in_every_argument_equal_differences_and_reverse_is_the_transpose(row):
    primals = tuple(jnp.asarray(a, float) for a in (RANDOM[3], *row.parameters))
    if row.name == "sorted l1":  # weights that stay in order when they are moved
        primals = (primals[0], jnp.asarray([2.0, 1.5, 1.1, 1.0, 0.25, 0.05]))
    d, v = direction_like(primals, seed=1), direction_like(primals[0], seed=2)

    @jax.jit
    def both_modes(p):
        return *jax.jvp(row, p, d), jax.vjp(row, *p)[1](v)

    _, pushed, pulled = both_modes(primals)
    expected = central_difference(lambda p: both_modes(p)[0], primals, d)
    # rounding of values of size one over the step of 1e-5: 1e-11; the curved rows add 1e-10
    assert_close(pushed, expected, 1e-9)
    assert inner(v, pushed) == pytest.approx(inner(pulled, d), rel=1e-12)


@every_map
def test_second_derivatives_equal_differences_of_first_ones(row):
    primals = tuple(jnp.asarray(a, float) for a in (RANDOM[3], *row.parameters))
    if row.name == "sorted l1":
        primals = (primals[0], jnp.asarray([2.0, 1.5, 1.1, 1.0, 0.25, 0.05]))
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(jnp.square(row(*p)) * jnp.arange(1.0, N + 1))))
    d = direction_like(primals, seed=3)
    second = jax.jit(lambda p: jax.jvp(gradient, (p,), (d,))[1])(primals)
    assert_close(second, central_difference(gradient, primals, d), 1e-7)


# Points on kinks built on purpose: ties, zeros, equal entries, a vector on the edge of the dual ball.
KINKS = {
    "l1": [[0.7, -0.7, 0.0, 2, 1, 0.3]],
    "l2": [[1.5, 0, 0, 0, 0, 0], [0] * 6],
    "linf": [[2, -2, 2, 1, 0, 0], [3, -3, 3, 1, 7 / 3, 0], [0.5, 0.5, 0.5, 0.5, 0, 0]],
    "group l2": [[0.3, 0.4, 0.6, 1, -0.8, 2], [0, 0, 0, 3, 1, 0]],
    "sorted l1": [
        [4, -4, 3, 1, 0.5, 0.25],
        [4, 3.5, 3, 2.5, -2.25, 2.0],
        [2, 1.5, 1, 0.9, 0.25, 0],
        [1, 1, 1, 1, 1, 1],
    ],
    "total variation": [[0, 0, 0, 0, 0, 0], [0, 0.8, 0.8, 0, 0, 0], [0, 0, 0, 1.6, 0.8, 0.8], [1, -1, 1, -1, 1, 0.6]],
    "nuclear norm": [[1, 0, 0, 0, 1, 0], [2, 0, 0, 0, 1, 0], [3, 0, 0, 0, 3, 0], [0] * 6, [1, 1, 0, 1, 1, 0]],
    "nonnegative l1": [[0.7, -0.7, 0.0, 2, 1, 0.7]],
    "elastic net": [[0.4, -0.4, 0.0, 2, 1, 0.3]],
    "huber": [[0.9, -0.9, 0.0, 2, 1, 0.3]],
}
# Equal entries with equal weights: they can change places, and the listed set is larger than that of the pieces.
TWICE = {"sorted l1": [[2, 1.5, 1, 1, 0.25, 0], [4, 3.5, 3, 3, -2.25, 2], [5, 5, 1, 1, 0, 0]]}


@every_map
def test_at_a_kink_the_derivative_is_in_the_hull_of_the_derivatives_nearby(row):
    directions = np.random.default_rng(0).standard_normal((300, N))
    for point in np.asarray(KINKS[row.name] + TWICE.get(row.name, []), float):
        (jacobian,) = np.asarray(compiled(row)[1](jnp.asarray(point[None])))
        nearby = np.asarray(compiled(row)[1](jnp.asarray(point + 1e-7 * directions))).reshape(300, -1)
        # the curved rows change by the distance of 1e-7; the others are exact
        assert distance(nearby, jacobian.reshape(-1)) < 1e-5


POLYHEDRAL = [row for row in MAPS if row.name not in ("l2", "group l2", "nuclear norm")]


@pytest.mark.parametrize("row", POLYHEDRAL, ids=lambda row: row.name)
def test_the_conservative_jacobian_is_that_of_the_pieces_that_meet(row):
    directions = np.random.default_rng(0).standard_normal((300, N))
    for point in np.asarray(KINKS[row.name], float):
        elements = icg.conservative_jacobian(row, jnp.asarray(point))
        assert elements.exhaustive
        vertices = np.asarray(elements.vertices).reshape(len(elements.vertices), -1)
        nearby = np.asarray(compiled(row)[1](jnp.asarray(point + 1e-7 * directions))).reshape(300, -1)
        for jacobian in np.unique(nearby.round(9), axis=0):
            assert np.abs(vertices - jacobian).max(1).min() < 1e-8
        assert max(distance(nearby, vertex) for vertex in vertices) < 1e-8


def test_without_strength_every_map_is_the_identity_with_its_derivative():
    for row in MAPS:
        if row.name == "nonnegative l1":
            continue  # it keeps its constraint
        none = tuple(0.0 * np.asarray(t) if i == 0 else t for i, t in enumerate(row.parameters))
        points = jnp.asarray(ADVERSARIAL)
        both = jax.jit(jax.vmap(lambda x, row=row, none=none: (row(x, *none), jax.jacfwd(row)(x, *none))))
        identity, jacobians = both(points)
        # the SVD is right to the rounding of the largest entry
        room = 1e-14 * np.abs(ADVERSARIAL).max(1, keepdims=True) if row.matrix else 0.0
        assert np.all(np.abs(identity - ADVERSARIAL) <= room + 1e-14 * np.abs(ADVERSARIAL)), row.name
        np.testing.assert_allclose(jacobians, np.broadcast_to(np.eye(N), (len(points), N, N)), atol=1e-14)


def test_a_batch_is_a_loop_and_has_one_strength_for_each():
    x = RANDOM.reshape(2, 4, N)
    for row in MAPS:
        batched = row.prox(x.reshape(2, 4, 2, 3) if row.matrix else x, *row.parameters).reshape(8, N)
        np.testing.assert_allclose(batched, compiled(row)[0](jnp.asarray(RANDOM)), atol=1e-13)
    t = np.array([[0.0, 0.5, 1.0, 3.0], [0.1, 0.2, 0.3, 9.0]])
    for prox in (icg.prox.l2, icg.prox.linf, icg.prox.total_variation):
        looped = [prox(a, s) for a, s in zip(x.reshape(8, N), t.reshape(8), strict=True)]
        np.testing.assert_allclose(prox(x, t).reshape(8, N), np.stack(looped), atol=1e-14)


def test_float32_stays_float32_and_integers_become_floats():
    for row in MAPS:
        x = jnp.asarray(RANDOM[3], jnp.float32)
        value, pushed = jax.jvp(row, (x,), (jnp.ones_like(x),))
        assert value.dtype == pushed.dtype == jnp.float32
        np.testing.assert_allclose(value, row(jnp.asarray(RANDOM[3])), atol=1e-5)  # eps 6e-8 of entries up to 10
    assert icg.prox.l2([3, 4], 1).dtype == jnp.result_type(float)


def test_vectors_of_length_zero_and_one():
    assert icg.prox.l1(jnp.zeros(0), 1.0).shape == icg.prox.total_variation(jnp.zeros((2, 0)), 1.0).shape[1:] == (0,)
    assert icg.prox.sorted_l1(jnp.zeros(0), jnp.zeros(0)).shape == icg.prox.linf(jnp.zeros(0), 1.0).shape == (0,)
    assert icg.prox.l2(jnp.zeros(0), 1.0).shape == icg.prox.group_l2(jnp.zeros(0), 1.0, []).shape == (0,)
    assert icg.prox.nuclear_norm(jnp.zeros((0, 3)), 1.0).shape == (0, 3)
    one = jnp.asarray([3.0])
    singles = (icg.prox.l2(one, 1), icg.prox.linf(one, 1), icg.prox.sorted_l1(one, [1]), icg.prox.group_l2(one, 1, [0]))
    assert all(p.tolist() == [2.0] for p in singles)
    assert icg.prox.total_variation(one, 1.0).tolist() == [3.0]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: icg.prox.l1([1.0], -1.0), "negative"),
        (lambda: icg.prox.l1([1.0, 2.0], [1.0, 2.0, 3.0]), "does not broadcast"),
        (lambda: icg.prox.l2([1.0, 2.0], [1.0, 2.0]), "one number, or one for each"),
        (lambda: icg.prox.l2(1.0, 1.0), "a vector"),
        (lambda: icg.prox.total_variation([1.0, 2.0], -0.1), "negative"),
        (lambda: icg.prox.sorted_l1([1.0, 2.0], [1.0, 2.0]), "decreasing order"),
        (lambda: icg.prox.sorted_l1([1.0, 2.0], [1.0, -2.0]), "nonnegative"),
        (lambda: icg.prox.sorted_l1([1.0, 2.0], [1.0]), "one weight for each"),
        (lambda: icg.prox.group_l2([1.0, 2.0], [1.0, 1.0], [0, 0]), "one per group"),
        (lambda: icg.prox.elastic_net([1.0], 1.0, 1.5), "l1_ratio"),
        (lambda: icg.prox.huber([1.0], 1.0, -1.0), "delta"),
        (lambda: icg.prox.mcp([1.0], 1.0, 1.0), "gamma"),
        (lambda: icg.prox.scad([1.0], 1.0, 2.0), "a is not above 2"),
        (lambda: icg.prox.nuclear_norm([1.0, 2.0], 1.0), "a matrix"),
    ],
)
def test_bad_input_is_told_by_name(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_a_negative_strength_inside_jit_is_an_error_too(fails_with):
    fails_with("t is negative", jax.jit(icg.prox.total_variation), jnp.ones(3), -1.0)


@pytest.mark.parametrize("name", ["mcp", "scad"])
def test_the_nonconvex_maps_minimise_and_have_the_right_derivative(name):
    prox = getattr(icg.prox, name)
    grid = np.linspace(-8, 8, 160_001)
    bend = (
        (lambda z: np.where(z <= 3, z - z**2 / 6, 1.5))
        if name == "mcp"
        else (lambda z: np.where(z <= 1, z, np.where(z <= 3, (6 * z - z**2 - 1) / 4, 2.0)))
    )
    x = np.array([-5.0, -2.6, -1.2, 0.0, 0.4, 1.7, 2.2, 6.0])
    best = grid[np.argmin(bend(np.abs(grid))[:, None] + (grid[:, None] - x) ** 2 / 2, axis=0)]
    np.testing.assert_allclose(prox(x, 1.0, 3.0), best, atol=1e-4)  # the spacing of the grid
    primals, d = (jnp.asarray(x), 1.0, 3.0), (jnp.ones(8), 0.3, 0.2)
    pushed = jax.jvp(prox, primals, d)[1]
    expected = (prox(x + 1e-6, 1 + 3e-7, 3 + 2e-7) - prox(x - 1e-6, 1 - 3e-7, 3 - 2e-7)) / 2e-6
    np.testing.assert_allclose(pushed, expected, atol=1e-8)
