"""Sparse and standardised designs: the same numbers as the filled matrix, and refusals by name."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from jax.experimental.sparse import BCOO, BCSR
from jax.flatten_util import ravel_pytree
from sklearn.preprocessing import StandardScaler

import implicitcg as icg
from implicitcg.linear import design
from implicitcg.linear.sparse_layout import entry_layout, most_strips

N, P = 60, 14
rng = np.random.default_rng(0)
# unsorted entries, the first five given twice, explicit zeros, an empty column and an empty row, one full column
_plain = scipy.sparse.random(N, P, 0.15, format="coo", random_state=rng, data_rvs=rng.standard_normal)
_row = np.concatenate([_plain.row, _plain.row[:5], [3, 4], np.arange(N)])
_column = np.concatenate([_plain.col, _plain.col[:5], [2, 5], np.full(N, 6)])
_data = np.concatenate([_plain.data, _plain.data[:5], [0.0, 0.0], 1 + rng.random(N)])
_kept = (_column != 9) & (_row != 7)
_order = rng.permutation(_kept.sum())
ROW, COLUMN, DATA = (a[_kept][_order] for a in (_row, _column, _data))
SCIPY = scipy.sparse.coo_matrix((DATA, (ROW, COLUMN)), shape=(N, P))
FULL = jnp.asarray(SCIPY.toarray())
INDICES = np.stack([ROW, COLUMN], axis=1)
y = FULL @ jnp.where(jnp.arange(P) % 3 == 0, 1.0, 0.0) + 0.1 * jnp.asarray(rng.standard_normal(N))
weights = jnp.asarray(0.5 + rng.random(N))
ALPHA = 0.02


def bcoo(data=DATA):
    return BCOO((jnp.asarray(data), jnp.asarray(INDICES)), shape=(N, P))


def standardised_by_numpy(X):
    return jnp.asarray(StandardScaler().fit_transform(np.asarray(X)))


DESIGNS = {
    "dense": design.design_matrix(FULL),
    "scipy": design.design_matrix(SCIPY),
    "bcoo": design.design_matrix(bcoo()),
    "traced": jax.jit(design.design_matrix)(bcoo()),
    "standardised": icg.designs.standardised(SCIPY),
    "standardised traced": icg.designs.standardised(jax.jit(design.design_matrix)(bcoo())),
    "standardised dense": icg.designs.standardised(FULL),
}
every_design = pytest.mark.parametrize("name", DESIGNS)


def filled(name):
    return standardised_by_numpy(FULL) if name.startswith("standardised") else FULL


def close(actual, expected, tolerance=1e-12):
    """Sums of at most a hundred products of numbers of size one, in another order."""
    np.testing.assert_allclose(ravel_pytree(actual)[0], ravel_pytree(expected)[0], rtol=0, atol=tolerance)


@every_design
def test_every_question_to_a_design_has_the_answer_of_the_filled_matrix(name):
    w, r = jnp.asarray(rng.standard_normal(P)), jnp.asarray(rng.standard_normal(N))
    index = jnp.asarray([6, 2, 9, 0, 13, 6, 6])  # repeated, empty, full
    rows = jnp.asarray(rng.permutation(N)[:20])
    share = weights / jnp.sum(weights)

    def answers(X):
        some = X.take_rows(rows)
        return {
            "X w": X @ w,
            "r X": r @ X,
            "X W": X @ jnp.stack([w, 2 * w], axis=1),
            "R X": jnp.stack([r, -r]) @ X,
            "columns": X.columns(index),
            "means": [X.column_means(), X.column_means(share)],
            "squares": [X.column_squares(), X.column_squares(share)],
            "variances": [X.column_variances(), X.column_variances(share)],
            "grams": [X.gram(index, s, c) for s in (None, weights) for c in (False, True)],
            "crosses": [X.cross_gram(index, index[1:4], weights, c) for c in (False, True)],
            "rows": [some @ w, r[:20] @ some, some.columns(index), some.gram(index, r[:20] ** 2, True)],
        }

    found, expected = jax.jit(answers)(DESIGNS[name]), jax.jit(answers)(design.design_matrix(filled(name)))
    for key in expected:
        close(found[key], expected[key])
    close(np.asarray(r) @ DESIGNS[name], r @ filled(name))
    few = jax.jit(lambda X, v: X.combination(jnp.asarray([6, 2, P, 13]), v))(DESIGNS[name], w[:4])
    close(few, filled(name)[:, jnp.asarray([6, 2, 13])] @ w[jnp.asarray([0, 1, 3])])  # the place that holds P is empty


@pytest.mark.parametrize("given", [np.asarray(FULL), SCIPY, bcoo()], ids=["array", "scipy", "bcoo"])
def test_a_loss_takes_every_kind_of_matrix_and_every_answer_of_its_design_reaches_a_host(given):
    loss = icg.penalties.LeastSquares(given, y, fit_intercept=True)
    w, index = jnp.linspace(-1, 1, P), jnp.asarray([6, 0, 2])
    filled = FULL - jnp.mean(FULL, axis=0)[None]
    close(loss.gradient(w), jax.grad(loss.value)(w))
    close(loss.hessian_block(w, index), (filled.T @ filled / N)[index[:, None], index])
    close(np.asarray(loss.X.compressed().toarray()), FULL)


def test_a_dense_design_is_one_leaf_of_its_problem_and_an_array_to_numpy():
    problem = icg.lasso(FULL, y, ALPHA)
    close(np.asarray(problem.smooth.X), FULL)
    assert [leaf.shape for leaf in jax.tree.leaves(problem.smooth.X)] == [(N, P)]

    def size(problem):
        return jnp.sum(jnp.square(icg.solve(problem).value))

    by_problem = jax.grad(size)(problem).smooth.X.entries
    close(by_problem, jax.grad(lambda X: size(icg.lasso(X, y, ALPHA)))(FULL))
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), problem)
    close(jax.vmap(size)(stacked)[0], size(problem), 1e-10)


def test_a_gram_block_of_a_very_sparse_matrix_is_paired_from_its_entries():
    X = scipy.sparse.random(400, 50, 0.01, format="csr", random_state=1, data_rvs=rng.standard_normal)
    made, index = icg.designs.sparse(X), jnp.asarray(np.random.default_rng(2).permutation(50)[:20])
    index = jnp.append(index, index[:2])
    assert made._capacity(22) < 400 * 22 / 40  # the branch that is meant
    s = jnp.asarray(rng.random(400))
    for centred in (False, True):
        expected = design.design_matrix(X.toarray()).gram(index, s, centred)
        close(jax.jit(lambda X, i, c=centred: X.gram(i, s, c))(made, index), expected)


def test_the_layout_pads_little_and_a_matrix_survives_it():
    for seed, density, padded in ((0, 0.02, 1.4), (1, 0.3, 1.15)):  # four entries a column, and sixty
        X = scipy.sparse.random(200, 500, density, format="csc", random_state=seed)
        made = icg.designs.sparse(X)
        assert abs(made.on_host() - X).max() == 0
        assert made.data.size < padded * X.nnz
    # counts as in a text, the worst case: most words are rare, a few are everywhere
    counts = np.minimum(2000 / np.arange(1, 5001), 1999).astype(int)
    plan = entry_layout(
        np.concatenate([np.arange(c) for c in counts]), np.repeat(np.arange(5000), counts), (2000, 5000)
    )
    assert plan.strips.sum() == len(plan.owner) and plan.rows.size < 1.3 * counts.sum()
    # the longest columns have no more strips than the bound says, and exactly as many for powers of two
    longest = np.cumsum(np.sort(plan.strips)[::-1])
    bounds = [most_strips(plan.largest, c) for c in range(1, 5001)]
    assert (bounds >= longest).all() and all(bounds[2**i - 1] == longest[2**i - 1] for i in range(13))


MODELS = {
    "lasso": lambda X, a: icg.lasso(X, y, a, fit_intercept=True, sample_weight=weights),
    "sparse logistic": lambda X, a: icg.sparse_logistic(X, jnp.sign(y - 0.3), a, fit_intercept=True),
}


@functools.cache
def solved_with_its_slope(model):
    """One program a kind of design: the filled matrices share theirs."""

    @jax.jit
    def solved(X):
        problem = MODELS[model](X, ALPHA)

        def value(a):
            solution = icg.solve(MODELS[model](X, a))
            return ravel_pytree(solution.value)[0], solution

        return *jax.jvp(value, (ALPHA,), (1.0,), has_aux=True), problem

    return solved


@pytest.mark.parametrize(
    ("model", "name"), [("lasso", "scipy"), ("lasso", "standardised"), ("sparse logistic", "scipy")]
)
def test_value_derivative_and_certificate_are_those_of_the_filled_matrix(model, name):
    solved = solved_with_its_slope(model)
    value, slope, solution, problem = solved(DESIGNS[name])
    expected_value, expected_slope, expected_solution, expected_problem = solved(filled(name))
    # rounding times condition numbers up to 1e3
    close(value, expected_value, 1e-10)
    close(slope, expected_slope, 1e-9)
    certificate, expected = icg.certify(problem, solution), icg.certify(expected_problem, expected_solution)
    assert (certificate.verdict, certificate.kinks) == (expected.verdict, expected.kinks)
    assert certificate.margin == pytest.approx(expected.margin, rel=1e-8)
    assert certificate.min_singular_value == pytest.approx(expected.min_singular_value, rel=1e-8)


def test_the_elastic_net_and_several_tasks_ask_the_same_questions():
    Y = jnp.stack([y, -(y**2)], axis=1)

    def answers(X):
        several = icg.multitask_lasso(X, Y, ALPHA, fit_intercept=True, sample_weight=weights).smooth
        net = icg.elastic_net(X, y, ALPHA, 0.5).smooth
        z = jnp.cos(jnp.arange(2.0 * P))
        index = jnp.asarray([0, 1, 12, 13, 5])
        return (
            several.gradient(z),
            several.hessian_product(z, z**2),
            several.hessian_block(z, index),
            several.curvature(),
            net.gradient(z[:P]),
        )

    close(jax.jit(answers)(DESIGNS["scipy"]), jax.jit(answers)(FULL))


def test_the_derivative_in_the_entries_is_that_of_the_filled_matrix_at_their_places():
    def loss(X):
        return jnp.sum(icg.solve(icg.lasso(X, y, ALPHA, fit_intercept=True)).value.coef ** 2)

    in_entries = jax.jit(jax.grad(lambda data: loss(bcoo(data))))
    found, everywhere = in_entries(jnp.asarray(DATA)), jax.jit(jax.grad(loss))(FULL)
    close(found, everywhere[ROW, COLUMN], 1e-10)  # explicit zeros and repeated entries included
    step = 1e-6 * jnp.cos(jnp.arange(len(DATA)))
    difference = (loss(bcoo(DATA + step)) - loss(bcoo(DATA - step))) / 2
    assert float(found @ step) == pytest.approx(float(difference), rel=1e-6)  # curvature and rounding of differences

    @jax.jit
    def of_a_traced_pattern(X):
        return jax.grad(lambda data: loss(BCOO((data, X.indices), shape=X.shape)))(X.data)

    close(of_a_traced_pattern(bcoo()), found, 1e-10)


def test_the_derivative_goes_through_means_and_deviations():
    def loss(make):
        return lambda X: jnp.sum(icg.solve(icg.lasso(make(X), y, 0.1, fit_intercept=True)).value.coef ** 3)

    def by_hand(X):
        deviation = jnp.std(X[:, kept], axis=0)
        return (X[:, kept] - jnp.mean(X[:, kept], axis=0)[None, :]) / deviation[None, :]

    kept = np.flatnonzero(np.asarray(FULL).std(axis=0) > 0)
    found = jax.jit(jax.grad(loss(icg.designs.standardised)))(FULL)
    close(found, jax.jit(jax.grad(loss(by_hand)))(FULL), 1e-10)


def test_a_batch_over_responses_penalties_and_entries_is_a_loop():
    X = DESIGNS["scipy"]
    solved = jax.jit(lambda X, y, a: icg.solve(icg.lasso(X, y, a)).value)
    ys, alphas = jnp.stack([y, 2 * y]), jnp.asarray([0.02, 0.05])
    close(jax.vmap(solved, (None, 0, 0))(X, ys, alphas), [solved(X, *pair) for pair in zip(ys, alphas, strict=True)])
    data = jnp.stack([jnp.asarray(DATA), 1.1 * jnp.asarray(DATA)])
    batched = jax.jit(jax.vmap(lambda d: icg.solve(icg.lasso(bcoo(d), y, ALPHA)).value))(data)
    close(batched, [solved(FULL, y, ALPHA), solved(1.1 * FULL, y, ALPHA)], 1e-10)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
def test_every_format_of_scipy_and_integers_are_taken(form):
    counts = scipy.sparse.random(20, 6, 0.4, random_state=3, data_rvs=lambda k: rng.integers(1, 5, k))
    X = counts.astype(np.int64).asformat(form)
    made = icg.designs.sparse(X)
    assert made.dtype == jnp.dtype(float)
    assert abs(made.on_host() - X).max() == 0
    assert icg.designs.sparse(X.astype(np.float32)).dtype == jnp.float32


def test_a_sparse_matrix_without_entries_has_the_empty_model():
    y = jnp.arange(5.0)
    for X in (scipy.sparse.csr_matrix((5, 3)), BCOO.fromdense(jnp.zeros((5, 3)), nse=0)):
        np.testing.assert_array_equal(icg.solve(icg.lasso(X, y, 0.1)).value, 0)


def test_original_units_predict_the_same():
    Z = DESIGNS["standardised"]
    fit = icg.solve(icg.lasso(Z, y, ALPHA, fit_intercept=True)).value
    coef, intercept = Z.original_units(*fit)
    close(FULL @ coef + intercept, Z @ fit.coef + fit.intercept)
    assert float(coef[9]) == 0.0  # the empty column: deviation 0, scale 1
    weighted = icg.designs.standardised(FULL, weights)
    close(weighted.column_variances(weights / jnp.sum(weights))[:9], jnp.ones(9))


def _bad(data, match, kind=ValueError):
    return pytest.param(data, match, kind, id=match)


@pytest.mark.parametrize(
    ("X", "match", "kind"),
    [
        _bad(SCIPY * np.nan, "NaN or infinite"),
        _bad(scipy.sparse.csr_matrix((5, 0)), "no sample or no feature"),
        _bad(SCIPY * 1j, "real numbers", TypeError),
        _bad(SCIPY.tocsr()[:10], "same n samples"),
        _bad(scipy.sparse.coo_array(np.ones(3)), r"shape \(n, p\)"),
        _bad(BCSR.from_scipy_sparse(SCIPY.tocsr()), "BCOO is supported", TypeError),
        _bad(BCOO.fromdense(FULL, n_batch=1), "batch and 0 dense", TypeError),
    ],
)
def test_bad_sparse_matrices_are_refused_with_advice(X, match, kind):
    with pytest.raises(kind, match=match):
        icg.lasso(X, y, 0.1)


def test_products_of_wrong_shapes_and_models_without_sparse_designs_are_refused():
    X = DESIGNS["scipy"]
    with pytest.raises(ValueError, match="cannot be multiplied"):
        X @ jnp.ones(P + 1)
    with pytest.raises(ValueError, match="cannot be multiplied"):
        jnp.ones(N + 1) @ X
    with pytest.raises(TypeError, match="takes dense arrays only"):
        icg.svm(SCIPY, jnp.sign(y), 1.0)
    with pytest.raises(TypeError, match="takes arrays only"):
        icg.svm(X, jnp.sign(y), 1.0)
    with pytest.raises(TypeError, match="dense matrix needs no preparation"):
        icg.designs.sparse(FULL)


def test_folds_of_sparse_rows_give_the_criterion_of_the_filled_ones():
    def criteria(X):
        model = lambda X, y, t: icg.lasso(X, y, jnp.exp(t))  # noqa: E731
        yield icg.tuning.CrossValidation(model, X, y, cv=3)
        yield icg.tuning.HoldOut(lambda t: icg.lasso(DESIGNS["scipy"], y, jnp.exp(t)), X[:20], y[:20])

    for sparse, dense in zip(criteria(SCIPY.tocsr()), criteria(FULL), strict=True):
        found, expected = (jax.jit(jax.value_and_grad(c))(-3.0) for c in (sparse, dense))
        close(found, expected, 1e-10)
    with pytest.raises(ValueError, match="repeats a row"):
        icg.tuning.CrossValidation(icg.lasso, SCIPY, y, cv=[([0, 0, 1], [2, 3])])


def test_a_large_active_set_is_differentiated_by_conjugate_gradients_with_their_residual():
    n, p = 70, 600  # room for 140 coordinates; the elastic net has 317 here
    generator = np.random.default_rng(0)
    X, target = generator.standard_normal((n, p)), generator.standard_normal(n)
    seen = []
    reporting = icg.adjoints.ConjugateGradient(report=lambda residual, steps: seen.append((residual, steps)))
    outside = icg.solvers.external.ScikitLearn(tolerance=1e-8)

    def value(a, **options):
        return icg.solve(icg.elastic_net(X, target, a, 0.02), outside, **options).value

    w = np.asarray(value(0.5))
    support = np.flatnonzero(w)
    assert len(support) > max(icg.elastic_net(X, target, 0.5, 0.02).capacities())
    K = X[:, support].T @ X[:, support] / n + 0.49 * np.eye(len(support))
    expected = np.zeros(p)
    expected[support] = -np.linalg.solve(K, 0.02 * np.sign(w[support]) + 0.98 * w[support])
    for options in ({}, {"adjoint": reporting}):
        slope = jax.jit(jax.jacfwd(lambda a, o=options: value(a, **o)))(0.5)
        close(slope, expected, 1e-9 * np.abs(expected).max())  # relative residual 1e-11, condition about 50
    ((residual, steps),) = seen
    assert residual < 1e-11 and 10 < steps < 200
    with pytest.raises(icg.SolveError, match="More coordinates are active"):
        jax.jacfwd(lambda a: value(a, adjoint=icg.adjoints.Direct()))(0.5)


def test_a_support_larger_than_every_factor_is_reached_by_momentum_and_differentiated_by_iterations():
    n = p = 4200  # both sides exceed the 4096 features that slots and factors are for
    X = (scipy.sparse.eye(n) + 0.3 * scipy.sparse.eye(n, k=1)).tocsc() * np.sqrt(n)
    target = 10 * np.cos(np.arange(n))

    def value(a, X):
        solution = icg.solve(icg.lasso(X, target, a))
        return solution.value, solution

    w, slope, solution = jax.jit(lambda a, X: jax.jvp(lambda a: value(a, X), (a,), (1.0,), has_aux=True))(
        0.03, icg.designs.sparse(X)
    )
    w, support = np.asarray(w), np.flatnonzero(np.asarray(w))
    assert 1024 < len(support) < p and float(solution.gap) <= 1e-10
    gradient = X.T @ (X @ w - target) / n
    # a gap of 1e-10 of an objective of about 25 bounds the squares of these, as the Hessian is at least .49
    np.testing.assert_allclose(gradient[support], -0.03 * np.sign(w[support]), atol=1e-4)
    assert np.abs(gradient).max() < 0.03 + 1e-4
    A = X[:, support]
    expected = np.zeros(p)
    expected[support] = -scipy.sparse.linalg.spsolve((A.T @ A / n).tocsc(), np.sign(w[support]))
    close(slope, expected, 1e-9)  # relative residual 2e-12, condition 4
