"""Solvers of other libraries, where they are installed: the answer of the default solver, and refusals by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import implicitcg as icg
from implicitcg.solvers.external import Celer, ScikitLearn, Skglm

N, P = 40, 12
rng = np.random.default_rng(0)
SPARSE = scipy.sparse.random(N, P, 0.3, format="csr", random_state=rng, data_rvs=rng.standard_normal)
DENSE = SPARSE.toarray()
y = DENSE[:, :4].sum(axis=1) + 0.1 * rng.standard_normal(N)
labels = np.sign(y + 0.01)
weights = rng.random(N) + 0.1
several = np.linspace(0.01, 0.05, P)
groups = np.repeat(np.arange(4), 3)

MODELS = {
    "lasso, weighted, with intercept": lambda X: icg.lasso(X, y, several, fit_intercept=True, sample_weight=weights),
    "lasso, weighted": lambda X: icg.lasso(X, y, several, sample_weight=weights),
    "lasso with intercept": lambda X: icg.lasso(X, y, 0.03, fit_intercept=True),
    "elastic net with intercept": lambda X: icg.elastic_net(X, y, 0.03, 0.5, fit_intercept=True),
    "group lasso": lambda X: icg.group_lasso(X, y, 0.03, groups),
    "logistic": lambda X: icg.sparse_logistic(X, labels, several),
    "logistic with intercept": lambda X: icg.sparse_logistic(X, labels, 0.01, fit_intercept=True),
}

ROWS = [
    (Celer(), "lasso, weighted, with intercept", DENSE),
    (Celer(), "lasso, weighted", SPARSE),
    (Celer(), "lasso with intercept", SPARSE),
    (Celer(), "elastic net with intercept", SPARSE),
    (Celer(), "group lasso", DENSE),
    (Celer(), "logistic", SPARSE),
    (ScikitLearn(), "lasso, weighted, with intercept", DENSE),
    (ScikitLearn(), "lasso with intercept", SPARSE),
    (ScikitLearn(), "elastic net with intercept", DENSE),
    (ScikitLearn(), "logistic", SPARSE),
    (Skglm(), "lasso, weighted", SPARSE),
    (Skglm(), "logistic with intercept", DENSE),
]


def named(x):
    return (
        x if isinstance(x, str) else "sparse" if scipy.sparse.issparse(x) else type(x).__name__.replace("ndarray", "")
    )


@pytest.mark.parametrize(("solver", "model", "X"), ROWS, ids=named)
def test_an_outside_solver_gives_the_answer_of_the_default_one(solver, model, X):
    pytest.importorskip(solver.module)
    problem = MODELS[model](X)
    expected, found = icg.solve(problem), icg.solve(problem, solver)
    assert bool(found.converged)
    np.testing.assert_allclose(found.root, expected.root, rtol=0, atol=1e-8)


@pytest.mark.parametrize("solver", [Celer(), ScikitLearn()], ids=named)
def test_derivatives_and_batches_go_through_an_outside_solver(solver):
    pytest.importorskip(solver.module)

    def value(a, **options):
        return icg.solve(icg.lasso(DENSE, y, a), **options).value

    alphas = jnp.asarray([0.02, 0.05])
    slopes = jax.jit(jax.vmap(jax.jacfwd(lambda a: value(a, solver=solver))))(alphas)
    np.testing.assert_allclose(slopes, jax.jit(jax.vmap(jax.jacfwd(value)))(alphas), atol=1e-8)


def test_a_library_that_stops_early_is_told_by_the_status(fails_with):
    strict = ScikitLearn(max_steps=1)
    solution = icg.solve(icg.lasso(DENSE, y, 0.001), strict, throw=False)
    assert icg.Status[solution.status] == icg.Status[icg.Status.not_converged]
    fails_with("step limit", lambda: icg.solve(icg.lasso(DENSE, y, 0.001), strict).value)


def test_a_loose_tolerance_is_passed_on():
    problem = icg.lasso(DENSE, y, 0.001)
    loose, exact = (icg.solve(problem, ScikitLearn(tolerance=t)) for t in (1e-2, 1e-7))
    assert bool(loose.converged)
    # gap 1e-4 of the objective at zero against 1e-14: the loose one must have stopped earlier
    assert float(loose.residual) > 1e3 * float(exact.residual)


@pytest.mark.parametrize(
    ("solver", "problem", "match"),
    [
        (ScikitLearn(), MODELS["group lasso"](DENSE), "has no group LASSO"),
        (ScikitLearn(), MODELS["logistic with intercept"](DENSE), "penalises the intercept"),
        (Celer(), MODELS["logistic with intercept"](DENSE), "no intercept and no sample weights"),
        (Celer(), icg.svm(DENSE, labels, 1.0), "none of the models"),
        (Celer(), MODELS["lasso, weighted, with intercept"](SPARSE), "sample weights with an intercept"),
        (Celer(), icg.lasso(icg.designs.standardised(SPARSE), y, 0.1), "standardised sparse matrix"),
    ],
    ids=named,
)
def test_what_a_library_cannot_solve_is_refused_by_name(solver, problem, match):
    with pytest.raises(TypeError, match=match):
        icg.solve(problem, solver)


def test_a_penalty_of_zero_is_refused_when_it_is_seen(fails_with):
    pytest.importorskip("celer")
    fails_with("every penalty alpha to be positive", lambda: icg.solve(icg.lasso(DENSE, y, 0.0), Celer()).value)


def test_a_library_that_is_missing_is_named_with_the_way_to_install_it():
    class Absent(Skglm):
        module = "absent_package"

    class InNoExtra(Absent):
        extra = None

    with pytest.raises(ImportError, match=r"absent_package.* pip install 'implicitcg\[external\]'"):
        icg.solve(icg.lasso(DENSE, y, 0.1), Absent())
    with pytest.raises(ImportError, match="pip install absent_package"):
        icg.solve(icg.lasso(DENSE, y, 0.1), InNoExtra())
