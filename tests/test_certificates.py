"""Certificates of equations: the examples of the theory, and brute force over every selection."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg


def layer(z, W, x):
    return jax.nn.relu(W @ z + x)


def verdict_by_brute_force(matrices):
    """`certified` when the determinants at all vertices are nonzero and of one sign, `singular` otherwise."""
    matrices = np.stack(matrices)
    singular = np.linalg.svd(matrices, compute_uv=False)[:, -1] < 1e-9
    signs = np.linalg.slogdet(matrices)[0]
    return "singular" if singular.any() or len(set(signs)) > 1 else "certified"


def certificate(problem, init=None):
    return icg.certify(problem, icg.solve(problem, init=init, throw=False))


def test_one_healthy_selection_proves_nothing():
    """`z = relu(2z + x)` at `x = 0`: `B` is 1 or -1; the tie rule of JAX sees only the healthy one."""
    found = certificate(icg.fixed_point(lambda z, x: jax.nn.relu(2 * z + x), 0.0))
    assert found.verdict == "singular" and found.kinks == 1
    assert "one healthy selection proves nothing" in found.reason


def test_a_spurious_equation_of_two_kinks_is_refused():
    """`relu(s - u) - relu(u - s) = 0` has the solution `s = u`, yet both blocks vanish for one selection."""
    found = certificate(icg.root(lambda s, u: jax.nn.relu(s - u) - jax.nn.relu(u - s), 1.0), init=1.0)
    assert found.verdict == "singular"


def test_a_second_certificate_of_the_same_shapes_compiles_nothing(caplog):
    """With other data and another tolerance; there is a kink, so every program is met."""
    found = [icg.fixed_point(layer, 0.1 * jnp.eye(2), jnp.array(x)) for x in ([0.0, 1.0], [0.0, -3.0])]
    solutions = [icg.solve(problem, init=jnp.zeros(2)) for problem in found]
    with jax.log_compiles():
        first = icg.certify(found[0], solutions[0], tol=1e-6)
        assert "Compiling" in caplog.text
        caplog.clear()
        second = icg.certify(found[1], solutions[1], tol=1e-7)
        assert "Compiling" not in caplog.text
    assert (first.kinks, first.selections, first.verdict) == (1, 2, "certified")
    assert (second.kinks, second.margin, second.verdict) == (1, 0.0, "certified")


def test_a_unit_of_a_monotone_equilibrium_on_its_kink_is_certified_with_both_elements():
    rng = np.random.default_rng(0)
    A, S = rng.standard_normal((2, 4, 4)) / 2
    W = 0.9 * np.eye(4) - A.T @ A + S - S.T  # I - (W + W^T)/2 >= 0.1 I
    u = np.array([0.0, 1.0, -1.0, 0.0])
    x = u - W @ np.maximum(u, 0)
    problem = icg.fixed_point(layer, jnp.asarray(W), jnp.asarray(x))
    found = certificate(problem, init=np.maximum(u, 0))
    assert found.verdict == "certified" and (found.kinks, found.selections) == (2, 4)
    start = jnp.asarray(np.maximum(u, 0))
    elements = icg.conservative_jacobian(
        lambda x: icg.solve(icg.fixed_point(layer, jnp.asarray(W), x), init=start).value, jnp.asarray(x), tol=1e-9
    )
    expected = []
    for ties in itertools.product([0.0, 1.0], repeat=2):
        D = np.diag([ties[0], 1.0, 0.0, ties[1]])
        expected.append(np.linalg.solve(np.eye(4) - D @ W, D))
    assert elements.exhaustive and len(elements.vertices) == 4
    for vertex in expected:
        assert min(np.abs(np.asarray(elements.vertices) - vertex).max(axis=(1, 2))) < 1e-9


def test_equilibria_agree_with_brute_force_over_every_selection():
    rng = np.random.default_rng(1)
    verdicts = []
    for _ in range(60):  # the kinks of each are traced and compiled anew
        W = rng.standard_normal((4, 4)) * rng.choice([0.4, 1.2])
        u = rng.choice([1.0, 0.0, -1.0], 4)
        z = np.maximum(u, 0)
        problem = icg.fixed_point(layer, jnp.asarray(W), jnp.asarray(u - W @ z))
        found = certificate(problem, init=z)
        ties = [(0.0, 1.0) if entry == 0 else (float(entry > 0),) for entry in u]
        brute = verdict_by_brute_force([np.eye(4) - np.diag(d) @ W for d in itertools.product(*ties)])
        verdicts.append(found.verdict)
        assert found.verdict == brute
        assert found.kinks == int((u == 0).sum())
    assert {"certified", "singular"} == set(verdicts)


def degenerate_program(rng, dependent):
    """A strictly convex QP built from its solution: active, weakly active and inactive constraints by design."""
    n, m = 3, 4
    L = rng.standard_normal((n, n))
    P, x = L @ L.T + 0.1 * np.eye(n), rng.standard_normal(n)
    G = rng.standard_normal((m, n))
    kind = rng.choice([-1, 0, 1], m, p=[0.3, 0.4, 0.3])  # active with a multiplier, weakly active, inactive
    if dependent:
        G[1], kind[:2] = G[0] * 2, [-1, 0]
    v = kind * rng.uniform(0.5, 2.0, m)
    q = -P @ x - G.T @ np.maximum(-v, 0)
    return P, q, G, G @ x + np.maximum(v, 0), v


def test_quadratic_programs_agree_with_brute_force_over_every_selection():
    rng = np.random.default_rng(2)
    verdicts = []
    for trial in range(200):
        P, q, G, h, v = degenerate_program(rng, dependent=trial % 3 == 0)
        problem = icg.qp(P, q, G=G, h=h)
        solution = icg.solve(problem, throw=False)
        assert bool(solution.converged)
        found = icg.certify(problem, solution)
        ties = [(0.0, 1.0) if entry == 0 else (float(entry > 0),) for entry in v]
        brute = verdict_by_brute_force(
            [np.block([[P, G.T @ (np.diag(d) - np.eye(4))], [G, np.diag(d)]]) for d in itertools.product(*ties)]
        )
        verdicts.append(found.verdict)
        assert found.verdict == brute, (trial, v)
    assert {"certified", "singular"} == set(verdicts)


def test_a_weakly_active_constraint_gives_both_pieces():
    """`min (x - u)^2 / 2` on `x >= 0` at `u = 0`: the solution is `max(u, 0)`."""

    def solution(u):
        return icg.solve(icg.qp(jnp.eye(1), -u, G=-jnp.eye(1), h=jnp.zeros(1))).value

    elements = icg.conservative_jacobian(solution, jnp.zeros(1), tol=1e-9)
    np.testing.assert_allclose(sorted(np.ravel(elements.vertices)), [0.0, 1.0], atol=1e-12)
    problem = icg.qp(jnp.eye(1), jnp.zeros(1), G=-jnp.eye(1), h=jnp.zeros(1))
    assert certificate(problem).verdict == "certified"


@pytest.mark.parametrize("on_kink", [14, 40])
def test_a_monotone_equilibrium_is_certified_whatever_the_number_of_its_kinks(on_kink):
    n = 50  # 2^14 combinations exceed what is enumerated
    rng = np.random.default_rng(3)
    A, S = rng.standard_normal((2, n, n)) / 5
    W = 0.9 * np.eye(n) - A.T @ A + S - S.T  # no contraction: its norm is above 1
    u = np.where(np.arange(n) < on_kink, 0.0, rng.choice([-1.0, 1.0], n))
    problem = icg.fixed_point(layer, jnp.asarray(W), jnp.asarray(u - W @ np.maximum(u, 0)))
    found = certificate(problem, init=np.maximum(u, 0))
    assert found.verdict == "certified" and found.selections == 2**on_kink
    assert found.min_singular_value >= 0.1 - 1e-9  # the monotonicity constant of W


def test_too_many_kinks_without_a_sufficient_condition_are_an_honest_unknown():
    n = 14
    W = np.triu(np.full((n, n), 3.0), 1)  # every selection is triangular with unit diagonal, but far from monotone
    found = certificate(icg.fixed_point(layer, jnp.asarray(W), jnp.zeros(n)), init=np.zeros(n))
    assert found.verdict == "unknown" and found.kinks == n and "too many" in found.reason


@pytest.mark.parametrize("tol", [-1.0, np.nan, np.inf])
def test_a_tolerance_that_is_no_distance_is_refused(tol):
    problem = icg.lasso(jnp.eye(2), jnp.ones(2), 0.1)
    with pytest.raises(ValueError, match="finite distance"):
        icg.certify(problem, icg.solve(problem), tol=tol)
