"""Soft and exact sorts and ranks: optimal, exact where they should be, with the right derivative, told at ties."""

import functools

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close, central_difference, inner
from scipy.stats import rankdata, spearmanr

import implicitcg as icg
from implicitcg.nonsmooth.hull import distance

N = 6
RANDOM = np.random.default_rng(0).standard_normal((6, N))
TIED = np.array([np.zeros(N), [2, 1, 2, 1, 2, 1], [1, 1, 1, 5, 5, -3], [1e8, 1e-8, 0, -1e8, 1, 1]])
POINTS = np.concatenate([RANDOM, TIED])
STRENGTHS = [1e-8, 0.1, 1.0, 10.0, 1e8]
SOFT = {
    "rank": icg.sorting.soft_rank,
    "sort": icg.sorting.soft_sort,
    "top k": lambda x, strength: icg.sorting.soft_top_k_mask(x, 2, strength),
}
every_map = pytest.mark.parametrize("name", SOFT)


@functools.cache
def compiled(name):
    both = jax.jit(jax.vmap(lambda x, s: (SOFT[name](x, s), jax.jacfwd(SOFT[name])(x, s)), (0, None)))
    return lambda x, s: tuple(map(np.asarray, both(jnp.asarray(x, float), jnp.asarray(s))))


def polytope(name, x, strength):
    """The point that is projected, and the vector whose permutations span the polytope."""
    places = np.arange(1.0, N + 1)
    return {"rank": (x / strength, places), "sort": (places / strength, x), "top k": (x / strength, places > N - 2)}[
        name
    ]


def largest_sums(p):
    return np.cumsum(np.sort(p)[::-1])


@every_map
@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_result_is_in_the_permutahedron_and_the_rest_supports_it(name, strength):
    # p is nearest to y if it is in the polytope, so w majorises it, and if <y - p, .> is largest there at p
    values, _ = compiled(name)(POINTS, strength)
    for x, p in zip(POINTS, values, strict=True):
        y, w = polytope(name, x, strength)
        size = 1 + np.abs(w).max()
        assert np.all(largest_sums(p) <= largest_sums(w) + 1e-13 * size * N)
        assert p.sum() == pytest.approx(w.sum(), abs=1e-13 * size * N)
        rest = y - p
        room = 1e-13 * size * (size + np.abs(y).max()) * N
        assert rest @ p == pytest.approx(np.sort(rest) @ np.sort(np.asarray(w, float)), abs=room)


def test_soft_ranks_are_those_that_clarabel_finds():
    x, p = RANDOM[0], cp.Variable(N)
    sums = [cp.sum_largest(p, k) <= sum(range(N + 1 - k, N + 1)) for k in range(1, N)]
    problem = cp.Problem(cp.Minimize(cp.sum_squares(p - x / 0.5)), [*sums, cp.sum(p) == N * (N + 1) / 2])
    problem.solve(solver="CLARABEL")
    np.testing.assert_allclose(icg.sorting.soft_rank(x, 0.5), p.value, atol=1e-4)  # the square root of its gap, 1e-8


@every_map
def test_at_strength_zero_the_soft_maps_are_the_exact_ones(name):
    value, jacobian = compiled(name)(POINTS, 0.0)
    if name == "rank":
        np.testing.assert_array_equal(value, rankdata(POINTS, axis=-1))
        np.testing.assert_array_equal(value, icg.sorting.rank(POINTS))
        assert not jacobian.any()
    elif name == "sort":
        np.testing.assert_array_equal(value, np.sort(POINTS, axis=-1))
        np.testing.assert_array_equal(jacobian, jax.vmap(jax.jacobian(icg.sorting.sort))(jnp.asarray(POINTS)))
    else:
        np.testing.assert_array_equal(value[:6], icg.sorting.top_k_mask(RANDOM, 2))
        np.testing.assert_allclose(value[6:8], [[1 / 3] * 6, [2 / 3, 0] * 3], atol=1e-15)
    small, _ = compiled(name)(POINTS, 1e-12)
    np.testing.assert_allclose(small, value, rtol=1e-14)  # the limit from above


@every_map
@pytest.mark.parametrize("strength", [0.1, 1.0])
def test_jacobians_are_those_of_a_projection_and_equal_differences(name, strength):
    _, jacobians = compiled(name)(RANDOM, strength)
    along = np.random.default_rng(1).standard_normal((6, N))
    ahead, behind = (compiled(name)(RANDOM + step * along, strength)[0] for step in (1e-6, -1e-6))
    np.testing.assert_allclose(np.einsum("bij,bj->bi", jacobians, along), (ahead - behind) / 2e-6, atol=1e-8 / strength)
    for jacobian in compiled(name)(POINTS, strength)[1]:
        assert np.isfinite(jacobian).all()
        if name != "sort":
            scaled = strength * jacobian  # in x / strength it is an orthogonal projection
            np.testing.assert_allclose(scaled, scaled.T, atol=1e-14)
            np.testing.assert_allclose(scaled @ scaled, scaled, atol=1e-14)


@every_map
def test_the_strength_and_second_derivatives_and_reverse_mode(name):
    primals, d = (jnp.asarray(RANDOM[2]), jnp.asarray(0.7)), (jnp.asarray(RANDOM[1]), jnp.asarray(0.3))
    v = jnp.asarray(RANDOM[3])

    @jax.jit
    def first(p):
        value, pushed = jax.jvp(SOFT[name], p, d)
        return value, pushed, jax.vjp(SOFT[name], *p)[1](v), jax.grad(lambda p: jnp.sum(SOFT[name](*p) ** 2 * v))(p)

    _, pushed, pulled, _ = first(primals)
    assert_close(pushed, central_difference(lambda p: first(p)[0], primals, d), 1e-9)
    assert inner(v, pushed) == pytest.approx(inner(pulled, d), rel=1e-12)
    second = jax.jit(lambda p: jax.jvp(lambda p: first(p)[3], (p,), (d,))[1])(primals)
    assert_close(second, central_difference(lambda p: first(p)[3], primals, d), 1e-7)


@every_map
def test_at_a_kink_all_pieces_that_meet_are_found(name):
    # neighbours that differ by exactly the strength (in its units) are about to part
    point = {"rank": [0, 1, 2, 5, 5.5, 9], "sort": [0, 1, 2, 5, 5.5, 9], "top k": [0, 1, 2, 3, 4, 4.5]}[name]
    function = functools.partial(SOFT[name], strength=1.0)
    (jacobian,) = compiled(name)([point], 1.0)[1]
    directions = np.random.default_rng(0).standard_normal((200, N))
    nearby = compiled(name)(np.asarray(point) + 1e-7 * directions, 1.0)[1].reshape(200, -1)
    assert distance(nearby, jacobian.reshape(-1)) < 1e-8
    elements = icg.conservative_jacobian(function, jnp.asarray(point, float))
    vertices = np.asarray(elements.vertices).reshape(len(elements.vertices), -1)
    for one in np.unique(nearby.round(9), axis=0):
        assert np.abs(vertices - one).max(1).min() < 1e-8
    assert max(distance(nearby, vertex) for vertex in vertices) < 1e-8


@pytest.mark.parametrize("strength", [1e300, 1.7e308, jnp.inf])
def test_strengths_at_the_end_of_the_format_give_the_mean(strength):
    x = jnp.asarray([5.0, 4.0, 3.0, 2.0, 1.0])
    for soft in (icg.sorting.soft_rank, icg.sorting.soft_sort):
        np.testing.assert_allclose(soft(x, strength), 3, rtol=1e-15)
        assert not jax.jacrev(soft, argnums=1)(x, strength).any()
    np.testing.assert_allclose(icg.sorting.soft_top_k_mask(x, 2, strength), 0.4, rtol=1e-15)
    assert not jax.jacrev(icg.sorting.soft_rank)(x, strength).round(12).any()


def test_ties_of_exact_maps_are_reported():
    tied, apart = jnp.asarray([1.0, 2.0, 2.0]), jnp.asarray([1.0, 2.0, 3.0])
    for function in (icg.sorting.rank, lambda x: icg.sorting.top_k_mask(x, 1), icg.sorting.sort):
        assert int(icg.kinks(function, tied).count) > 0
        assert int(icg.kinks(function, apart).count) == 0
        assert np.isfinite(jax.jacobian(function)(tied)).all()
    assert icg.sorting.top_k_mask(tied, 1).tolist() == [0, 1, 0]
    assert len(icg.conservative_jacobian(icg.sorting.sort, tied).vertices) == 2


def test_spearman_is_that_of_scipy_and_a_smooth_climb_reaches_the_right_order():
    x, y = RANDOM[:2]
    assert float(icg.sorting.spearman(x, y, 0.0)) == pytest.approx(spearmanr(x, y).statistic, abs=1e-14)
    assert icg.sorting.spearman(jnp.ones(4), jnp.arange(4.0), 1.0) == 0
    slope = jax.jit(jax.grad(icg.sorting.spearman))
    assert np.isfinite(slope(jnp.ones(N), jnp.asarray(y), 1.0)).all()
    z = jnp.asarray(x)
    for _ in range(100):
        z = z + 2.0 * slope(z, jnp.asarray(y), 2.0)
    assert float(icg.sorting.spearman(z, y, 0.0)) == pytest.approx(1.0)


def test_float32_empty_and_single():
    x = jnp.asarray(RANDOM, jnp.float32)
    for name, soft in SOFT.items():
        assert soft(x, 0.5).dtype == jnp.float32
        np.testing.assert_allclose(soft(x, 0.5), compiled(name)(RANDOM, 0.5)[0], atol=1e-5)
    assert icg.sorting.soft_rank(jnp.zeros((2, 0))).shape == icg.sorting.rank(jnp.zeros((2, 0))).shape == (2, 0)
    assert icg.sorting.soft_rank(jnp.asarray([7.0])).tolist() == icg.sorting.rank(jnp.asarray([7.0])).tolist() == [1.0]
    assert icg.sorting.soft_sort(jnp.asarray([7.0])).tolist() == [7.0]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: icg.sorting.soft_rank([1.0, 2.0], -1.0), "strength is negative"),
        (lambda: icg.sorting.soft_rank([1.0, 2.0], [1.0, 2.0]), "one number, or one for each"),
        (lambda: icg.sorting.soft_sort(1.0), "a vector"),
        (lambda: icg.sorting.top_k_mask([1.0, 2.0], 3), "k is 3"),
        (lambda: icg.sorting.spearman([1.0, 2.0], [1.0]), "pairs are needed"),
        (lambda: icg.projections.permutahedron([1.0, 2.0], [1.0]), "one entry for each"),
    ],
)
def test_bad_input_is_told_by_name(call, text):
    with pytest.raises(ValueError, match=text):
        call()
