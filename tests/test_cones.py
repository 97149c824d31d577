"""Cones: projections to the last bit over all magnitudes, duals, and derivatives at boundaries and apexes."""

import jax
import jax.numpy as jnp
import numpy as np
import projection_laws as laws
import pytest
from projection_cases import CONES, points

import implicitcg as icg

cones = icg.cones
every_cone = pytest.mark.parametrize("row", CONES, ids=lambda row: row.name)


@every_cone
def test_it_is_a_projection(row):
    laws.check_projection(row)


@every_cone
def test_a_conic_solver_finds_no_nearer_point(row):
    laws.check_optimality(row)


@every_cone
def test_jacobians_are_symmetric_with_eigenvalues_in_the_unit_interval_and_equal_differences(row):
    laws.check_derivatives(row)


@every_cone
def test_reverse_mode_is_the_transpose_and_second_derivatives_agree(row):
    laws.check_reverse_mode(row)


@every_cone
def test_magnitude_does_not_matter(row):
    laws.check_scales(row)


@pytest.mark.parametrize("row", [row for row in CONES if row.kinks], ids=lambda row: row.name)
def test_derivatives_at_kinks_lie_in_the_hull_of_those_nearby(row):
    laws.check_kinks(row)


def test_the_second_order_cone_has_the_numbers_of_the_theory():
    v = jnp.asarray([1.0, 3.0, 4.0])
    assert np.allclose(cones.SecondOrder(3).project(v), [3.0, 1.8, 2.4], atol=1e-15)
    expected = [[0.5, 0.3, 0.4], [0.3, 0.564, -0.048], [0.4, -0.048, 0.536]]
    assert np.allclose(jax.jacobian(cones.SecondOrder(3).project)(v), expected, atol=1e-15)


def test_the_semidefinite_cone_has_the_numbers_of_the_theory():
    S, H = jnp.asarray([[1.0, 2.0], [2.0, -2.0]]), jnp.asarray([[1.0, 0.0], [0.0, 0.0]])
    value, derivative = jax.jvp(icg.projections.psd_cone, (S,), (H,))
    assert np.allclose(value, [[1.6, 0.8], [0.8, 0.4]], atol=1e-15)
    assert np.allclose(derivative, [[0.768, 0.224], [0.224, 0.032]], atol=1e-15)
    cone = cones.PSD(2)
    assert np.allclose(cone.matrix(cone.project(cone.vector(S))), value, atol=1e-15)
    assert cone.vector(S).tolist() == [1.0, 2.0 * 2**0.5, -2.0]  # Clarabel's order and scale


def test_the_semidefinite_derivative_is_the_identity_at_repeated_positive_eigenvalues():
    H = jnp.asarray([[1.0, 2.0], [2.0, -1.0]])
    for S, expected in ((jnp.eye(2), H), (-jnp.eye(2), 0 * H)):
        assert np.allclose(jax.jvp(icg.projections.psd_cone, (S,), (H,))[1], expected, atol=1e-15)
        assert np.allclose(jax.vjp(icg.projections.psd_cone, S)[1](H)[0], expected, atol=1e-15)


def mixed(count: int, low: int, high: int) -> np.ndarray:
    """Points whose entries are of quite different magnitudes."""
    rng = np.random.default_rng(7)
    return rng.standard_normal((count, 3)) * 10.0 ** rng.integers(low, high, (count, 3))


def relative(x: np.ndarray, v: np.ndarray) -> float:
    return float(np.max(x / np.maximum(np.abs(v).max(-1), 1e-300)))


def outside_exponential(x, y, z):
    """How far outside `y exp(x / y) <= z` a point is, to first order, and how far outside the closure's face."""
    safe = np.where(y > 0, y, 1)
    s = np.where(y > 0, x / safe, 0)
    decay = np.exp(-np.abs(s))  # everything is divided by exp(s) where that is large
    gap = np.where(s > 0, y - z * decay, y * decay - z)
    steep = np.where(s > 0, np.hypot(np.hypot(1, 1 - s), decay), np.hypot(np.hypot(1, 1 - s) * decay, 1))
    face = np.maximum(np.maximum(x, -z), -y)
    return np.minimum(np.where(y > 0, np.maximum(gap, 0) / steep, np.inf), np.maximum(np.maximum(face, np.abs(y)), 0))


def test_the_exponential_cone_is_projected_on_to_the_last_bits_at_every_magnitude():
    corners = [[a, b, c] for a in (-1e8, 0, 1e-8) for b in (-1, 0, 1e8) for c in (-1e-8, 1, 0)]
    v = np.concatenate([mixed(400, -8, 9), np.asarray(corners, float)])
    p = np.asarray(jax.jit(lambda v: cones.Exponential().project(v))(v))
    q = p - v  # in the dual and orthogonal to p: then p is the projection
    assert np.isfinite(p).all()
    size = np.maximum(np.abs(v).max(-1), 1e-300)
    assert np.max(np.abs((p / size[:, None] * q / size[:, None]).sum(-1))) < 2e-15
    assert relative(outside_exponential(*p.T), v) < 2e-15  # a few roundings of the largest entry
    x, y, z = q.T  # (x, y, z) is in the dual when (-y, -x, e z) is in the cone
    assert relative(outside_exponential(-y, -x, np.e * z), v) < 2e-15


def test_the_power_cone_is_projected_on_to_the_last_bits_at_every_magnitude():
    v = mixed(400, -8, 9)
    for a in (0.02, 0.5, 0.9):
        p = np.asarray(jax.jit(lambda v, a: cones.Power(a).project(v))(v, a))
        q = p - v
        assert np.isfinite(p).all()
        size = np.abs(v).max(-1)[:, None]
        assert np.max(np.abs((p / size * q / size).sum(-1))) < 4e-15
        for (x, y, z), (left, right) in ((p.T, (1.0, 1.0)), (q.T, (a, 1 - a))):
            x, y, z = np.maximum(x, 0) / left, np.maximum(y, 0) / right, np.abs(z)
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                # how far one coordinate would have to move to be in the cone: no further than that is the cone
                moves = [z - x**a * y ** (1 - a), (z / y ** (1 - a)) ** (1 / a) - x, (z / x**a) ** (1 / (1 - a)) - y]
            assert relative(np.maximum(np.nanmin(moves, 0), 0), v) < 1e-14
            assert relative(np.maximum(-p[:, 0], -p[:, 1]), v) < 1e-15


def test_the_power_cone_has_its_derivatives_next_to_the_apex_in_float32():
    # the point is y = 1e-23, r = 1e-21 in size: squares and quotients of those leave float32
    jacobians = jax.jit(jax.vmap(jax.jacfwd(icg.projections.power_cone, argnums=(0, 1))))
    v, a = np.array([[1e-5, -61.8, 1.82], [1e8, 1e-8, 1e-8], [0.3, 0.2, 2.0]]), np.array([0.1, 0.5, 0.7])
    for single, double in zip(
        jacobians(jnp.asarray(v, jnp.float32), jnp.asarray(a, jnp.float32)), jacobians(v, a), strict=True
    ):
        # float32 knows log r to 1e-6, and so each entry relative to the size of the whole
        np.testing.assert_allclose(single, double, atol=1e-5)
    assert np.isfinite(
        jax.jit(jax.hessian(lambda v: icg.projections.power_cone(v, 0.999)[0]))(jnp.asarray([-2.0, 0, -1]))
    ).all()


def test_every_cone_decomposes_a_point_with_its_dual():
    product = cones.Product(
        cones.Zero(1), cones.Free(1), cones.Nonnegative(2), cones.SecondOrder(3), cones.PSD(2), cones.Exponential(),
        cones.Power(0.3), cones.Exponential().dual(),
    )  # fmt: skip
    assert product.dimension == product.dual().dimension == 1 + 1 + 2 + 3 + 3 + 3 + 3 + 3
    v = jnp.asarray(points(product.dimension, 20))
    laws.moreau(product, np.asarray(v))

    @jax.jit
    def projections(v):
        blocks = [cone.project(block) for cone, block in zip(product.cones, product.split(v), strict=True)]
        p = product.project(v)
        return p, jax.vmap(product.project)(v), blocks, product.split(p), product.contains(p)

    # the batch is a loop, and the blocks are projected one by one
    p, looped, blocks, parts, contained = projections(v)
    assert np.allclose(looped, p, atol=1e-14)
    for image, part in zip(blocks, parts, strict=True):
        assert np.allclose(image, part, atol=1e-14)
    assert bool(contained.all())
    assert [type(cone.dual()).__name__ for cone in product.cones[:5]] == [
        "Free", "Zero", "Nonnegative", "SecondOrder", "PSD",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: cones.SecondOrder(3).project(jnp.ones(4)), "SecondOrder has dimension 3"),
        (lambda: cones.PSD(2).project(jnp.ones(4)), "PSD has dimension 3"),
        (lambda: cones.Nonnegative().dimension, "does not know its dimension"),
        (lambda: cones.SecondOrder(0), "at least 1"),
        (lambda: cones.Power(1.5), "strictly between 0 and 1"),
    ],
)
def test_vectors_and_parameters_that_do_not_fit_are_told(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_a_product_of_something_else_is_refused():
    with pytest.raises(TypeError, match="Product is made of cones"):
        cones.Product(cones.Zero(1), 3)
