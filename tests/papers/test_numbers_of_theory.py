"""Numbers and formulas of the theory that have no other home; `docs/papers.md` lists where each of them is tested."""

import itertools
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg
from implicitcg.adjoints import MinimumNorm
from implicitcg.nonsmooth import with_ties

random = np.random.default_rng(0)


def hidden(u, s):
    return jax.nn.relu(s - u) - jax.nn.relu(u - s)


def test_the_pseudo_inverse_of_a_hidden_identity_says_that_it_does_not_move():
    def solution(u, adjoint=None):
        return icg.solve(icg.root(lambda s, u: hidden(u, s), u), adjoint=adjoint, throw=False).value

    assert float(solution(1.5)) == 1.5
    assert float(jax.grad(solution)(1.5, MinimumNorm())) == 0.0  # and the truth is 1
    # both blocks vanish with relu'(0) = 0; with another selection at each kink neither does
    assert jax.grad(hidden, argnums=(0, 1))(1.5, 1.5) == (0.0, 0.0)
    assert jax.grad(with_ties(hidden, 1.0), argnums=(0, 1))(1.5, 1.5) == (-2.0, 2.0)


def test_where_one_element_is_healthy_and_another_is_not_there_are_two_solutions_on_one_side():
    def residual(z, x):
        return z - jax.nn.relu(2 * z + x)

    assert [float(residual(z, -1.0)) for z in (0.0, 1.0)] == [0.0, 0.0]
    elements = icg.conservative_jacobian(lambda z: residual(z, 0.0), 0.0)
    assert sorted(elements.vertices.tolist()) == [-1.0, 1.0]


@pytest.mark.parametrize("c", [0.5, 0.05])
def test_the_elastic_net_has_its_closed_form_in_both_strengths(c):
    X, d = random.standard_normal((12, 5)), 0.3
    y = X @ np.array([1.0, -2.0, 0.5, 0.0, 0.0])

    def fit(log_c, log_d):  # 1/(2n) in front of the loss: both strengths divided by n = 12
        alpha, ridge = jnp.exp(log_c) / 12, jnp.exp(log_d) / 12
        return icg.solve(icg.elastic_net(X, y, alpha + ridge, alpha / (alpha + ridge))).value

    at = jnp.log(c), jnp.log(d)
    b, slopes = np.asarray(fit(*at)), jax.jacfwd(fit, argnums=(0, 1))(*at)
    S = np.flatnonzero(b)
    K = X[:, S].T @ X[:, S] + d * np.eye(len(S))
    for slope, right in zip(slopes, (c * np.sign(b[S]), d * b[S]), strict=True):
        expected = np.zeros(5)
        expected[S] = -np.linalg.solve(K, right)
        np.testing.assert_allclose(slope, expected, atol=1e-10)


def test_the_simplex_has_the_centring_of_its_support_for_jacobian():
    jacobian = jax.jacrev(icg.projections.simplex)(jnp.array([0.6, 0.5, -0.4, 0.3]))
    S = np.array([1.0, 1.0, 0.0, 1.0])
    np.testing.assert_allclose(jacobian, np.diag(S) - np.outer(S, S) / 3, atol=1e-15)


def test_every_element_of_a_monotone_layer_is_bounded_by_its_modulus():
    m = 0.2
    A, S = random.standard_normal((2, 5, 5))
    W = (1 - m) * np.eye(5) - A.T @ A + S - S.T
    for d in itertools.product([0.0, 0.5, 1.0], repeat=5):
        D = np.diag(d)
        assert np.linalg.norm(np.linalg.solve(np.eye(5) - D @ W, D), 2) <= 1 / m + 1e-12


def test_one_step_differentiation_is_nine_off_where_the_truth_is_ten():
    found = icg.unroll.derivative(lambda z, t: 0.9 * z + t, 0.0, 1.0, steps=500, last=1, lipschitz=0.0)
    limit = jax.grad(lambda t: icg.solve(icg.fixed_point(lambda z, t: 0.9 * z + t, t)).value)(1.0)
    assert float(found.jacobian) == 1.0 and float(limit) == pytest.approx(10.0, abs=1e-12)
    assert found.bias == pytest.approx(9.0, abs=1e-12)  # rho L / (1 - rho), attained
    # 0.9^K remains of the ten after K steps
    for K in (2, 7):
        some = icg.unroll.derivative(lambda z, t: 0.9 * z + t, 0.0, 1.0, steps=500, last=K, lipschitz=0.0)
        assert float(limit - some.jacobian) == pytest.approx(some.bias, abs=1e-12)
        assert some.bias == pytest.approx(10 * 0.9**K, abs=1e-12)


def test_the_self_dual_residual_is_singular_at_its_solution_and_the_reduced_one_is_not():
    """`min x` for `x >= 1`: residual of the homogeneous embedding, which is zero along a whole ray of solutions."""

    def embedding(z):
        x, v, tau = z  # s = max(v, 0), y = max(-v, 0)
        s, y, t = jnp.maximum(v, 0.0), jnp.maximum(-v, 0.0), jnp.maximum(tau, 0.0)
        return jnp.stack([t - y, -x + s + t, y - x - jnp.maximum(-tau, 0.0)])

    solution = jnp.array([1.0, -1.0, 1.0])
    assert not embedding(solution).any()
    jacobian = jax.jacobian(embedding)(solution)
    np.testing.assert_allclose(jacobian @ solution, 0.0, atol=1e-15)  # Euler: it is positively homogeneous
    certificate = icg.certify(icg.root(embedding), icg.solve(icg.root(embedding), init=solution))
    assert certificate.verdict == "singular"
    reduced = icg.conic(None, [1.0], [[-1.0]], [-1.0], icg.cones.Nonnegative(1))
    assert icg.certify(reduced, icg.solve(reduced)).verdict == "certified"


def test_every_test_module_and_example_that_the_list_of_papers_names_exists():
    root = pathlib.Path(__file__).resolve().parents[2]
    page = (root / "docs" / "papers.md").read_text()
    tests = re.findall(r"`(?:tests/)?((?:papers/)?test_\w+\.py)(?:::(\w+))?`", page)
    assert len(tests) > 25
    for file, name in tests:
        text = (root / "tests" / file).read_text()
        assert name == "" or f"def {name}(" in text, f"{file} has no test {name}"
    modules = re.findall(r"`((?:core|problems|nonsmooth|deq|solvers|tuning)/\w+\.py)`", page)
    for path in [root / "implicitcg" / m for m in modules] + [root / e for e in re.findall(r"examples/\w+\.py", page)]:
        assert path.exists(), path
    for dotted in re.findall(r"`icg\.([\w.]+)`", page):
        found = icg
        for part in dotted.split("."):
            found = getattr(found, part)
