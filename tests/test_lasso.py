"""The LASSO beyond the laws: independent solvers, exact formulas, wide and hard problems, bad input."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from cases import regression
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso

import implicitcg as icg

X, y = regression(30, 8, seed=4)
alpha_max = np.abs(X.T @ y).max() / 30


def exact(X, y, alpha, w):
    """`dw/dlog alpha = -n alpha (X_S^T X_S)^{-1} s_S` on the support, by dense linear algebra."""
    S = np.flatnonzero(w)
    slope = np.zeros(len(w))
    slope[S] = -alpha * len(y) * np.linalg.solve(X[:, S].T @ X[:, S], np.sign(w[S]))
    return slope


@pytest.mark.parametrize("ratio", [0.9, 0.3, 0.03, 1e-4])
def test_solutions_agree_with_scikit_learn_and_derivatives_with_the_exact_formula(ratio):
    alpha = ratio * alpha_max
    solve = jax.jit(lambda log_alpha: icg.solve(icg.lasso(X, y, jnp.exp(log_alpha))).value)
    w, slope = jax.jvp(solve, (jnp.log(alpha),), (1.0,))
    reference = Lasso(alpha, fit_intercept=False, tol=1e-15, max_iter=10**6).fit(X, y).coef_
    np.testing.assert_allclose(w, reference, atol=1e-9)
    np.testing.assert_allclose(slope, exact(X, y, alpha, np.asarray(w)), atol=1e-12)


def test_the_intercept_agrees_with_scikit_learn():
    shifted = X + 3.0
    w, b = icg.solve(icg.lasso(shifted, y + 5.0, 0.1, fit_intercept=True)).value
    reference = Lasso(0.1, tol=1e-15, max_iter=10**6).fit(shifted, y + 5.0)
    np.testing.assert_allclose(w, reference.coef_, atol=1e-9)
    assert float(b) == pytest.approx(reference.intercept_, abs=1e-9)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_wide_problems_grow_their_working_sets_and_reach_a_tight_gap(correlation):
    X, y = regression(60, 700, seed=5, correlation=correlation)
    alpha = 0.02 * np.abs(X.T @ y).max() / 60
    solution, slope = jax.jvp(lambda a: icg.solve(icg.lasso(X, y, a)), (alpha,), (alpha,))
    w = np.asarray(solution.value)
    assert float(solution.gap) < 1e-12 and 15 < np.count_nonzero(w) <= 60
    np.testing.assert_allclose(slope.value, exact(X, y, alpha, w), atol=1e-9)
    assert icg.certify(icg.lasso(X, y, alpha), solution).verdict == "certified"


def test_real_data_with_collinear_columns_is_solved_to_the_same_objective():
    data = load_diabetes()
    X, y = data.data, data.target - data.target.mean()
    for ratio in (0.1, 1e-3, 1e-6):
        alpha = ratio * np.abs(X.T @ y).max() / len(y)
        problem = icg.lasso(X, y, alpha)
        solution = icg.solve(problem)
        reference = Lasso(alpha, fit_intercept=False, tol=1e-15, max_iter=10**6).fit(X, y).coef_
        best = float(problem.objective(jnp.asarray(reference)))
        assert float(problem.objective(solution.value)) <= best * (1 + 1e-13)
        np.testing.assert_allclose(solution.value, reference, atol=1e-6 * np.abs(reference).max())


def test_above_the_largest_penalty_the_solution_and_its_derivative_are_zero_and_certified():
    problem = icg.lasso(X, y, 1.5 * alpha_max)
    solution = icg.solve(problem)
    assert not np.any(solution.value)
    assert icg.certify(problem, solution).verdict == "certified"
    np.testing.assert_array_equal(jax.jacfwd(lambda a: icg.solve(icg.lasso(X, y, a)).value)(1.5 * alpha_max), 0)


def test_duplicated_columns_are_found_on_the_equicorrelation_set_though_only_one_is_active():
    problem = icg.lasso(np.concatenate([X, X[:, :1]], axis=1), y, 0.05)
    solution = icg.solve(problem)
    certificate = icg.certify(problem, solution)
    assert certificate.verdict == "singular"
    assert certificate.min_singular_value == pytest.approx(0, abs=1e-12)
    assert "linearly dependent" in certificate.reason and "singular" in str(certificate)


def test_no_penalty_is_least_squares_with_few_features_and_not_unique_with_many(fails_with):
    np.testing.assert_allclose(icg.solve(icg.lasso(X, y, 0.0)).value, np.linalg.lstsq(X, y)[0], atol=1e-10)
    wide, response = regression(6, 9, seed=6)
    fails_with("not unique", lambda: icg.solve(icg.lasso(wide, response, 0.0)))
    solution = icg.solve(icg.lasso(wide, response, 0.0), throw=False)
    assert bool(solution.status == icg.Status.not_unique) and not bool(solution.converged)


def test_zero_columns_and_constant_responses_have_zero_coefficients():
    empty = X.copy()
    empty[:, 2] = 0.0
    w = icg.solve(icg.lasso(empty, y, 0.1)).value
    assert float(w[2]) == 0.0 and np.count_nonzero(w) > 2
    constant = icg.solve(icg.lasso(X, np.full(30, 4.0), 0.1, fit_intercept=True))
    assert not np.any(constant.value.coef) and float(constant.value.intercept) == pytest.approx(4.0)
    silent = icg.solve(icg.lasso(X, np.zeros(30), 0.1))
    assert not np.any(silent.value) and float(silent.gap) == 0.0


def test_a_step_limit_is_reported_and_nothing_is_certified(fails_with):
    slow = icg.solvers.ProximalGradient(max_steps=3)
    fails_with("reached its step limit", lambda: icg.solve(icg.lasso(X, y, 0.1), slow))
    solution = icg.solve(icg.lasso(X, y, 0.1), slow, throw=False)
    assert not bool(solution.converged) and np.all(np.isfinite(solution.value))
    assert icg.certify(icg.lasso(X, y, 0.1), solution).verdict == "unknown"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.where(X > 2, np.nan, X), y, 0.1), "X has"),
        ((X, np.append(y[1:], np.inf), 0.1), "y has 1 NaN or infinite entry, the first at index (29,)"),
        ((X[:0], y[:0], 0.1), "no sample or no feature"),
        ((X[:, :0], y, 0.1), "no sample or no feature"),
        ((X, y[:-1], 0.1), "30 rows and y has 29"),
        ((X, y[:, None], 0.1), "y has shape (30, 1)"),
        ((X[0], y, 0.1), "X has shape (8,)"),
        ((X, y, -0.1), "alpha is negative"),
        ((X, y, np.nan), "alpha is not finite"),
        ((X, y, np.ones(3)), "alpha has shape (3,)"),
    ],
)
def test_bad_input_raises_at_the_call_and_names_the_cause(arguments, message):
    with pytest.raises(ValueError, match=r"^(X|y|alpha) ") as caught:
        icg.lasso(*arguments)
    assert message in str(caught.value)


def test_what_the_caller_writes_to_an_array_later_does_not_reach_the_problem():
    X, y = np.ones((200, 50), np.float32), np.ones(200, np.float32)
    problem = icg.lasso(X, y, 0.1)
    X[:] = y[:] = 7
    assert np.all(np.asarray(problem.smooth.X) == 1) and np.all(np.asarray(problem.smooth.y) == 1)


def test_text_and_missing_data_raise_type_errors_with_advice():
    with pytest.raises(TypeError, match="Convert text columns"):
        icg.lasso([["a", "b"]], [1.0], 0.1)
    with pytest.raises(TypeError, match="X is a sparse matrix"):
        icg.svm(scipy.sparse.csr_matrix(X), y, 0.1)
    with pytest.raises(TypeError, match="y is None"):
        icg.lasso(X, None, 0.1)
    for switch in ("yes", 1, None):
        with pytest.raises(TypeError, match=r"fit_intercept is .* give True or False"):
            icg.lasso(jnp.ones((2, 1)), jnp.ones(2), 0.1, fit_intercept=switch)
    with pytest.raises(TypeError, match="needs a problem"):
        icg.solve(X)


def test_slots_too_few_for_the_support_are_reported(fails_with):
    X, y = regression(60, 700, seed=5, correlation=0.0)
    problem = icg.lasso(X, y, 0.02 * np.abs(X.T @ y).max() / 60)  # some fifty features are active
    fails_with("more coordinates are active".capitalize(), lambda: icg.solve(problem, small_solver()))
    assert np.isfinite(icg.solve(problem, small_solver(), throw=False).value).all()


def small_solver():
    return icg.solvers.ActiveSet(capacity=40)


def test_bad_numbers_inside_jit_raise_when_the_program_runs(fails_with):
    solve = jax.jit(lambda X, alpha: icg.solve(icg.lasso(X, y, alpha)).value)
    fails_with("NaN or infinite", solve, jnp.asarray(X).at[0, 0].set(jnp.nan), 0.1)
    fails_with("a penalty (alpha) or a weight is negative", solve, jnp.asarray(X), -0.1)


def test_another_penalty_compiles_nothing_however_it_is_given(monkeypatch):
    run, traced = icg.solvers.ActiveSet.run, []

    def counted(self, problem, init):
        traced.append(problem)
        return run(self, problem, init)

    monkeypatch.setattr(icg.solvers.ActiveSet, "run", counted)
    for alpha in (0.1, 0.2, np.float64(0.3), np.float32(0.25), jnp.asarray(0.4), jnp.float32(0.5), 1):
        icg.solve(icg.lasso(X[:29], y[:29], alpha))  # rows of its own: not compiled by another test
    assert len(traced) == 1


def test_errors_in_python_are_solve_errors_with_a_status():
    slow = icg.solvers.ProximalGradient(max_steps=3)
    with pytest.raises(icg.SolveError) as caught:
        icg.solve(icg.lasso(X, y, 0.1), slow)
    assert bool(caught.value.status == icg.Status.not_converged)
    told = pickle.loads(pickle.dumps(caught.value))  # as a worker's failure reaches who waits for it
    assert isinstance(told, icg.SolveError) and str(told) == str(caught.value)
    assert bool(told.status == icg.Status.not_converged)


def test_one_bad_element_of_a_batch_spoils_only_itself():
    alphas = jnp.asarray([0.1, jnp.nan, -1.0, 0.2])
    batch = jax.vmap(lambda alpha: icg.solve(icg.lasso(X, y, alpha), throw=False))(alphas)
    np.testing.assert_array_equal(batch.converged, [True, False, False, True])
    for i in (0, 3):
        np.testing.assert_allclose(batch.value[i], icg.solve(icg.lasso(X, y, alphas[i])).value, atol=1e-13)


def test_a_batch_or_a_traced_solution_is_not_certified_by_mistake():
    problem = icg.lasso(X, y, 0.1)
    batch = jax.vmap(lambda alpha: icg.solve(icg.lasso(X, y, alpha)))(jnp.asarray([0.1, 0.2]))
    with pytest.raises(TypeError, match="batch of 2"):
        icg.certify(problem, batch)
    with pytest.raises(TypeError, match="inside a JAX transformation"):
        jax.jit(lambda alpha: icg.certify(icg.lasso(X, y, alpha), icg.solve(icg.lasso(X, y, alpha))).margin)(0.1)


def test_certificates_agree_with_brute_force_over_every_selection():
    """200 small problems at their knots, half with a column duplicated: enumerate all faces and their determinants."""
    verdicts = []
    rng = np.random.default_rng(7)
    for trial in range(200):
        A = rng.standard_normal((6, 4))
        if trial % 2:
            A[:, 3] = A[:, 1] * rng.choice([-1.0, 1.0])
        b = rng.standard_normal(6)
        correlations = np.abs(A.T @ b) / 6
        alpha = float(correlations.max() * rng.choice([1.0, 0.5]))  # at the first knot, or beyond it
        problem = icg.lasso(A, b, alpha)
        solution = icg.solve(problem)
        certificate = icg.certify(problem, solution, tol=1e-9)
        w = np.asarray(solution.value)
        gradient = A.T @ (A @ w - b) / 6
        tied = np.abs(np.abs(gradient) - alpha) < 1e-9
        E = np.flatnonzero(tied)
        smallest = 1.0
        for mask in range(2 ** len(E)):
            S = E[[bool(mask >> i & 1) for i in range(len(E))]] if len(E) else E
            if len(S) and set(np.flatnonzero(np.abs(w) > 1e-9)) <= set(S):
                smallest = min(smallest, float(np.linalg.svd(A[:, S], compute_uv=False)[-1]))
        verdicts.append(certificate.verdict)
        assert (certificate.verdict == "singular") == (smallest < 1e-9)
    assert {"certified", "singular"} == set(verdicts)
