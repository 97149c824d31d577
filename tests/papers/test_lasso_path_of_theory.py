"""A LASSO with two features whose whole path is known in closed form.

`X^T X = [[1, .5], [.5, 1]]`, `X^T y = (2, 1.75)`, penalty `c ||b||_1` on `1/2 ||y - X b||^2`. The path: 0 for `c >= 2`;
`(2 - c, 0)` for `1.5 <= c <= 2`; `(1.5 - 2c/3, 1 - 2c/3)` for `c <= 1.5`. Differentiated in `log c`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg
from implicitcg.nonsmooth import conservative_jacobian, with_ties

root = np.linalg.cholesky(np.array([[1.0, 0.5], [0.5, 1.0]])).T
X, y = jnp.asarray(root), jnp.asarray(np.linalg.solve(root.T, np.array([2.0, 1.75])))


def problem(c):
    return icg.lasso(X, y, c / 2)  # the library's loss has 1/(2n) with n = 2


@jax.jit
def path(log_c):
    return icg.solve(problem(jnp.exp(log_c))).value


def closed_form(c):
    if c >= 2:
        return np.zeros(2), np.zeros(2)
    if c >= 1.5:
        return np.array([2 - c, 0]), np.array([-c, 0])
    return np.array([1.5 - 2 * c / 3, 1 - 2 * c / 3]), np.array([-2 * c / 3, -2 * c / 3])


@pytest.mark.parametrize("c", [3.0, 2.2, 1.99, 1.8, 1.51, 1.49, 1.0, 0.3, 1e-3])
def test_value_and_derivative_along_the_path(c):
    value, slope = closed_form(c)
    log_c = jnp.log(jnp.asarray(c))
    np.testing.assert_allclose(path(log_c), value, atol=1e-12)
    np.testing.assert_allclose(jax.jacfwd(path)(log_c), slope, atol=1e-12)
    np.testing.assert_allclose(jax.jacrev(path)(log_c), slope, atol=1e-12)


@pytest.mark.parametrize(
    ("c", "vertices"), [(1.5, [[-1.5, 0.0], [-1.0, -1.0]]), (2.0, [[0.0, 0.0], [-2.0, 0.0]])], ids=["inner", "first"]
)
def test_the_set_at_a_knot_is_both_one_sided_derivatives(c, vertices):
    elements = conservative_jacobian(path, jnp.log(jnp.asarray(c)), tol=1e-9)
    assert elements.exhaustive
    np.testing.assert_allclose(np.sort(elements.vertices, axis=0), np.sort(vertices, axis=0), atol=1e-9)
    assert elements.contains(np.mean(vertices, axis=0))
    assert not elements.contains(np.mean(vertices, axis=0) + 0.1)


def test_a_knot_known_to_rounding_is_a_knot_without_any_tolerance():
    elements = conservative_jacobian(path, jnp.log(jnp.asarray(1.5)))
    np.testing.assert_allclose(np.sort(elements.vertices, axis=0), [[-1.5, -1.0], [-1.0, 0.0]], atol=1e-9)


def test_the_default_at_a_knot_is_the_one_sided_derivative_of_the_smallest_active_set():
    np.testing.assert_allclose(jax.jacfwd(path)(jnp.log(1.5)), [-1.5, 0.0], atol=1e-9)
    np.testing.assert_allclose(jax.jacfwd(path)(jnp.log(2.0)), [0.0, 0.0], atol=1e-9)


def test_the_midpoint_selection_at_the_knot_has_its_exact_value():
    between = with_ties(path, 0.5)
    np.testing.assert_allclose(jax.jacfwd(between)(jnp.log(1.5)), [-9 / 7, -3 / 7], atol=1e-9)


def test_weighted_penalties_have_their_exact_jacobian():
    def weighted(log_c):
        return icg.solve(icg.lasso(X, y, jnp.exp(log_c) / 2)).value

    jacobian = jax.jacrev(weighted)(jnp.zeros(2))
    np.testing.assert_allclose(jacobian, [[-4 / 3, 2 / 3], [2 / 3, -4 / 3]], atol=1e-12)


@pytest.mark.parametrize(
    ("c", "kinks", "smallest", "margin"),
    [
        (2.5, 0, 1.0, 0.5),  # nothing active: B is the identity; |X_1^T r| = 2 is .5 from its bound
        (2.0, 1, 0.5, 0.0),  # X_1^T X_1 / n on the equicorrelation set
        (1.8, 0, 0.5, 0.15),  # b_1 = .2; u_2 = 1.75 - .1 is .15 below its bound
        (1.5, 1, 0.25, 0.0),
        (1.0, 0, 0.25, 1 / 3),
    ],
)
def test_certificates_along_the_path_are_exact(c, kinks, smallest, margin):
    certificate = icg.certify(problem(c), icg.solve(problem(c)))
    assert certificate.verdict == "certified"
    assert certificate.kinks == kinks and certificate.selections == 2**kinks
    assert certificate.min_singular_value == pytest.approx(smallest, abs=1e-9)
    assert certificate.margin == pytest.approx(margin, abs=1e-9)


def test_the_dual_is_the_scaled_residual_and_is_differentiated():
    solution = icg.solve(problem(1.0))
    np.testing.assert_allclose(solution.dual, (y - X @ solution.value) / 2, atol=1e-14)
    slope = jax.jacfwd(lambda log_c: icg.solve(problem(jnp.exp(log_c))).dual)(0.0)
    np.testing.assert_allclose(slope, X @ jnp.asarray([2 / 3, 2 / 3]) / 2, atol=1e-12)
    assert float(solution.gap) < 1e-14
