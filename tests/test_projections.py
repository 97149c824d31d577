"""Projections on sets: the nearest point at every magnitude, and a derivative that is right at every kink."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import projection_laws as laws
import pytest
from projection_cases import SETS

import implicitcg as icg

P = icg.projections
every_set = pytest.mark.parametrize("row", SETS, ids=lambda row: row.name)


@every_set
def test_it_is_a_projection(row):
    laws.check_projection(row)


@every_set
def test_a_conic_solver_finds_no_nearer_point(row):
    laws.check_optimality(row)


@every_set
def test_jacobians_are_symmetric_with_eigenvalues_in_the_unit_interval_and_equal_differences(row):
    laws.check_derivatives(row)


@every_set
def test_reverse_mode_is_the_transpose_and_second_derivatives_agree(row):
    laws.check_reverse_mode(row)


@pytest.mark.parametrize("row", [row for row in SETS if row.scaled is not None], ids=lambda row: row.name)
def test_magnitude_does_not_matter(row):
    laws.check_scales(row)


@pytest.mark.parametrize("row", [row for row in SETS if row.kinks], ids=lambda row: row.name)
def test_derivatives_at_kinks_lie_in_the_hull_of_those_nearby(row):
    laws.check_kinks(row)


def test_affine_sets_agree_with_the_formula_and_its_derivatives():
    rng = np.random.default_rng(0)
    x, A, b = (jnp.asarray(rng.standard_normal(shape)) for shape in (4, (2, 4), 2))
    formula = lambda x, A, b: x - A.T @ jnp.linalg.solve(A @ A.T, A @ x - b)  # noqa: E731
    assert np.allclose(P.affine_set(x, A, b), formula(x, A, b), atol=1e-14)
    ours, expected = (jax.jacrev(f, argnums=(0, 1, 2))(x, A, b) for f in (P.affine_set, formula))
    for mine, theirs in zip(ours, expected, strict=True):
        assert np.allclose(mine, theirs, atol=1e-12)


def test_every_magnitude_stays_feasible_in_float32():
    x = jnp.asarray([1e8, 1e8, 9.9e7, -1e8, 3.0, 1.0, 0.0, 1e-8], jnp.float32)
    p = P.simplex(x)
    assert p.dtype == jnp.float32
    assert p.tolist() == [0.5, 0.5, 0, 0, 0, 0, 0, 0]  # peers sum to 9 here
    for radius in (1e-8, 1.0, 1e8):
        # eight entries, each right to half a unit in the last place of the radius
        assert float(P.simplex(x, radius).sum()) == pytest.approx(radius, rel=1e-6)
        assert float(jnp.abs(P.l1_ball(x, radius)).sum()) == pytest.approx(radius, rel=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_ball_holds_the_largest_numbers_of_the_format(dtype):
    """A length beyond the largest number is none, and a quotient by one has no inverse: by the scale, all is exact."""
    largest = float(jnp.finfo(dtype).max)
    for size, n in itertools.product([largest, 0.6 * largest, 0.3 * largest, largest / 1e4], [1, 2, 100]):
        x = jnp.full(n, size, dtype)
        value, jacobian = P.l2_ball(x), jax.jacrev(P.l2_ball)(x)
        np.testing.assert_allclose(value, np.full(n, n**-0.5), rtol=20 * n * float(jnp.finfo(dtype).eps))
        assert jnp.isfinite(jacobian).all() and jnp.abs(jacobian).max() <= 1e4 / largest * 10


def test_large_vectors_sum_to_the_radius():
    x = jnp.asarray(np.random.default_rng(0).standard_normal(100_000), jnp.float32)
    for radius in (1.0, 1e3, 1e6):
        # 1e5 numbers added in float32, blockwise
        assert float(np.asarray(P.simplex(x, radius), float).sum()) == pytest.approx(radius, rel=2e-5)


def test_radius_zero_is_the_origin_with_the_derivative_of_a_growing_radius():
    x = jnp.asarray([0.3, 2.0, -3.0])
    for function, grows in ((P.simplex, [0, 1, 0]), (P.l1_ball, [0, 0, -1]), (P.l2_ball, x / jnp.linalg.norm(x))):
        assert function(x, 0.0).tolist() == [0, 0, 0]
        assert np.allclose(jax.jacobian(function, 1)(x, 0.0), grows, atol=1e-15)
        assert np.allclose(jax.jacobian(function)(x, 0.0), 0)
        assert np.isfinite(jax.jacobian(function)(jnp.zeros(3), 0.0)).all()


def test_vertices_have_the_derivative_of_the_coordinate_that_moves_first():
    # tau is anything between -1 and 1: more total frees the second entry, less the first
    x = jnp.asarray([2.0, -1.0, -3.0])
    assert P.capped_simplex(x, 1.0).tolist() == [1, 0, 0]
    assert jax.jacobian(P.capped_simplex, 1)(x, 1.0).tolist() == [0, 1, 0]
    assert not jax.jacobian(P.capped_simplex)(x, 1.0).any()
    found = icg.conservative_jacobian(lambda c: P.capped_simplex(x, c), 1.0)
    assert sorted(found.vertices.tolist()) == [[0, 1, 0], [1, 0, 0]]
    assert jax.jacobian(P.capped_simplex, 1)(x, 3.0).tolist() == [0, 0, 1]  # the largest total: only less is possible
    assert P.box_section(x, 0.0, 1.0, 1.0, 0.0).tolist() == [0, 0, 0]  # the smallest one


def test_the_vertices_of_birkhoff_are_permutations_and_do_not_move():
    M = 10 * jnp.eye(4)[jnp.asarray([2, 0, 3, 1])]
    assert np.allclose(P.birkhoff(M), M / 10, atol=1e-15)
    J = jax.jacobian(P.birkhoff)(M)
    assert np.allclose(J, 0, atol=1e-14)
    # sums that change need an entry that was zero: one of the two that could carry it does
    moved = jax.jvp(lambda r: P.transport(5 * jnp.eye(2), r, jnp.ones(2)), (jnp.ones(2),), (jnp.asarray([1.0, -1.0]),))[
        1
    ]
    nearby = [[[0, 1], [0, -1]], [[1, 0], [-1, 0]]]
    assert any(np.allclose(moved, element, atol=1e-14) for element in nearby)


def test_transport_is_exact_for_costs_much_larger_than_the_sums():
    rng = np.random.default_rng(0)
    M = jnp.asarray(rng.standard_normal((12, 12)))
    for scale in (1e-6, 1.0, 1e3, 1e6):
        p = np.asarray(P.birkhoff(scale * M))
        for sums in (p.sum(0), p.sum(1)):
            # 4 eps times the sum of 24 sums, and of entries that are differences of numbers up to six times the scale
            assert np.max(np.abs(sums - 1)) < 1e-14 * (3 + scale)
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-np.asarray(M))  # the limit of large scale
    assert np.allclose(p[rows, columns], 1, atol=1e-6)


@pytest.mark.parametrize("size", [0, 1])
def test_vectors_of_length_zero_and_one(size):
    x = jnp.full(size, 3.0)
    one = jnp.ones(size)
    maps = {
        "simplex": lambda x: P.simplex(x, 1.0 * size),
        "l1 ball": P.l1_ball,
        "l2 ball": P.l2_ball,
        "box": lambda x: P.box(x, 0.0, 1.0),
        "nonnegative": P.nonnegative,
        "capped simplex": lambda x: P.capped_simplex(x, 1.0 * size),
        "box section": lambda x: P.box_section(x, 0.0, 1.0, 1.0, 1.0 * size),
        "polyhedron": lambda x: P.polyhedron(x, G=jnp.eye(size), h=one),
    }
    # one compilation for all of them
    values, jacobians = jax.jit(
        lambda x: [{name: f(x) for name, f in maps.items()}, {name: jax.jacobian(f)(x) for name, f in maps.items()}]
    )(x)
    for name in maps:
        expected = 3.0 if name == "nonnegative" else 1.0
        assert np.allclose(values[name], expected * one), name
        assert jacobians[name].shape == (size, size), name
    assert P.psd_cone(jnp.full((size, size), -1.0)).tolist() == jnp.zeros((size, size)).tolist()
    assert P.birkhoff(jnp.full((size, size), 5.0)).tolist() == jnp.ones((size, size)).tolist()


ERRORS = {
    "negative": (lambda r: P.simplex(jnp.ones(3), r), -1.0),
    "radius is negative": (lambda r: P.l2_ball(jnp.ones(3), r), -1.0),
    "lower exceeds upper": (lambda low: P.box(jnp.ones(3), low, 1.0), 2.0),
    "between 0 and n = 3": (lambda t: P.capped_simplex(jnp.ones(3), t), 4.0),
    "the section is empty": (lambda c: P.box_section(jnp.ones(3), 0.0, 1.0, 1.0, c), 4.0),
    "a is zero": (lambda s: P.halfspace(jnp.ones(3), s * jnp.ones(3), 1.0), 0.0),
    "strictly between 0 and 1": (lambda a: P.power_cone(jnp.ones(3), a), 1.0),
    "not symmetric": (lambda s: P.psd_cone(jnp.asarray([[1.0, 0.0], [1.0, 1.0]]) * s), 1.0),
    "different totals": (lambda s: P.transport(jnp.eye(2), jnp.ones(2), s * jnp.ones(2)), 2.0),
    "infeasible": (lambda s: P.polyhedron(jnp.ones(1), G=jnp.asarray([[1.0], [-1.0]]), h=-s * jnp.ones(2)), 1.0),
}


@pytest.mark.parametrize("text", ERRORS)
def test_bad_parameters_are_told_at_the_call_and_inside_jit(text, fails_with):
    function, value = ERRORS[text]
    fails_with(text, function, value)
    fails_with(text, jax.jit(function), value)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: P.simplex(jnp.zeros(0)), "no entries"),
        (lambda: P.simplex(1.0), "x is a number"),
        (lambda: P.simplex(jnp.ones((2, 3)), jnp.ones(3)), "one for each of its vectors"),
        (lambda: P.psd_cone(jnp.ones((2, 3))), "square"),
        (lambda: P.birkhoff(jnp.ones((2, 3))), "square"),
        (lambda: P.transport(jnp.ones((2, 3)), jnp.ones(3), jnp.ones(3)), "its length is 2"),
        (lambda: P.birkhoff(jnp.zeros((1500, 1500))), "limited to 2000"),
        (lambda: P.polyhedron(jnp.ones(2), A=jnp.ones((1, 2))), "belong together"),
        (lambda: P.polyhedron(jnp.ones(2), A=jnp.ones((1, 3)), b=jnp.ones(1)), "shape"),
        (lambda: P.hyperplane(jnp.ones(2), jnp.ones(3), 1.0), "has length 2"),
        (lambda: P.second_order_cone(jnp.ones(0)), "no entries"),
    ],
)
def test_shapes_that_do_not_fit_are_told_by_name(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_leading_axes_are_a_batch_with_a_parameter_for_all_or_for_each():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3, 4)))
    radii = jnp.asarray([[0.0, 1.0, 2.0], [0.5, 1.5, 3.0]])
    for function in (P.simplex, P.l1_ball, P.l2_ball, P.capped_simplex):
        each = jnp.stack([jnp.stack([function(x[i, j], radii[i, j]) for j in range(3)]) for i in range(2)])
        assert np.allclose(function(x, radii), each, atol=1e-14)
        assert np.allclose(jax.vmap(jax.vmap(function))(x, radii), each, atol=1e-14)
    one = P.transport(x[0, :, :3], jnp.ones(3), jnp.ones(3))
    assert np.allclose(P.birkhoff(x[:, :, :3])[0], one, atol=1e-14)
    assert P.psd_cone(jnp.stack([jnp.eye(2), -jnp.eye(2)]))[1].tolist() == [[0, 0], [0, 0]]


def test_kinks_of_a_projection_are_counted_where_they_are():
    x = jnp.asarray([1.0, 0.0, -1.0])  # the threshold is 0 and meets the second entry
    assert int(np.sum(icg.kinks(P.simplex, x).entries)) == 1
    assert icg.conservative_jacobian(P.simplex, x).choices == 2
    # a small change of the threshold frees it: 1 - tau + 0 - tau = 1.1 at tau = -0.05
    assert int(np.sum(icg.kinks(lambda x: P.simplex(x, 1.1), x).entries)) == 0
    assert float(icg.kinks(lambda x: P.simplex(x, 1.1), x).margin) == pytest.approx(0.05)


def test_sets_are_penalties_of_composite_problems_and_are_certified():
    rng = np.random.default_rng(3)
    X, y = jnp.asarray(rng.standard_normal((10, 4))), jnp.asarray(rng.standard_normal(10))
    sets = icg.penalties
    for penalty in (
        sets.Simplex(jnp.asarray(1.0)),
        sets.L2Ball(jnp.asarray(0.3)),
        sets.Box(jnp.full(4, -0.1), jnp.full(4, 0.1)),
        icg.cones.Nonnegative(),
        icg.cones.SecondOrder(4),
    ):
        problem = icg.composite(sets.LeastSquares(X, y), penalty)
        solution = icg.solve(problem)
        assert bool(penalty.contains(solution.value))
        # no direction into the set descends: the projected gradient step stays
        gradient = problem.smooth.gradient(solution.value)
        assert np.allclose(penalty.project(solution.value - gradient), solution.value, atol=1e-9)
        assert icg.certify(problem, solution).verdict == "certified"


def test_an_affine_set_of_dependent_rows_has_its_projection_but_no_derivative_in_the_rows(fails_with):
    A, b, x = jnp.asarray([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0]]), jnp.asarray([1.0, 2.0]), jnp.asarray([1.0, 2.0, 5.0])
    first = A[:1], b[:1]
    assert np.allclose(P.affine_set(x, A, b), P.affine_set(x, *first), atol=1e-14)
    assert np.allclose(jax.jacrev(P.affine_set)(x, A, b), jax.jacrev(P.affine_set)(x, *first), atol=1e-14)
    fails_with("singular", jax.jacrev(P.affine_set, argnums=2), x, A, b)
    fails_with("infeasible", P.affine_set, x, A, jnp.asarray([1.0, 2.1]))
    fails_with("infeasible", P.affine_set, x, 0 * A[:1], b[:1])
    assert P.affine_set(x, 0 * A[:1], 0 * b[:1]).tolist() == x.tolist()
    more = jnp.concatenate([A, jnp.asarray([[0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])]), jnp.asarray([1.0, 2.0, 3.0, 4.0])
    assert np.allclose(P.affine_set(x, *more), [0.0, 1.0, 3.0], atol=1e-12)


def test_affine_sets_of_batches_have_second_derivatives():
    rng = np.random.default_rng(1)
    x, A, b = (jnp.asarray(rng.standard_normal(shape)) for shape in ((5, 4), (2, 4), 2))
    formula = lambda A: x - (x @ A.T - b[None]) @ jnp.linalg.solve(A @ A.T, A)  # noqa: E731
    ours, expected = (
        jax.hessian(lambda A, f=f: jnp.sum(jnp.sin(f(A))))(A) for f in (lambda A: P.affine_set(x, A, b), formula)
    )
    assert np.allclose(ours, expected, atol=1e-11)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_goes_through_factorisations_in_single(dtype):
    x = jnp.asarray([1.0, 2.0], dtype)
    for p in (P.affine_set(x, jnp.ones((1, 2)), jnp.ones(1)), P.polyhedron(x, G=jnp.eye(2), h=jnp.ones(2))):
        assert p.dtype == dtype
        assert np.allclose(np.asarray(p, float).sum(), 1.0 if float(p[0]) == 0 else 2.0, atol=1e-2)


def test_an_empty_batch_and_not_a_number_in_a_polyhedron():
    half = {"G": jnp.eye(2), "h": jnp.ones(2)}
    assert P.polyhedron(jnp.ones((0, 2)), **half).shape == (0, 2)
    with pytest.raises(icg.SolveError, match="NaN"):
        P.polyhedron(jnp.asarray([1.0, jnp.nan]), **half)


def test_not_a_number_is_not_thresholded_away():
    u = jnp.asarray([1.0, jnp.nan, 0.5, 3.0])
    assert np.isnan(icg.prox.group_l2(u, 1.0, jnp.asarray([0, 0, 1, 1]))).tolist() == [False, True, False, False]
    assert np.isnan(icg.prox.l2(u, 1.0)).any()


def test_half_precision_matrices():
    S = jnp.asarray([[1.0, 2.0], [2.0, -2.0]], jnp.float16)
    for f in (P.psd_cone, P.birkhoff, lambda S: icg.prox.nuclear_norm(S, 0.5)):
        assert f(S).dtype == jnp.float16
        assert np.allclose(f(S), f(S.astype(jnp.float32)), atol=2e-3)  # two units of half precision


def test_not_a_number_ends_the_search_for_a_derivative():
    assert np.isnan(jax.jacrev(P.birkhoff)(jnp.full((2, 2), jnp.nan))).any()
