"""SURE, GCV, AIC, BIC and leave-one-out: values by formula and enumeration, slopes by differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LassoLarsIC

import implicitcg as icg
from implicitcg.tuning import AIC, BIC, GCV, SURE, Exact, FiniteDifference, LeaveOneOut, Outcome, tune
from implicitcg.tuning.exact.recognise import recognise

RANDOM = np.random.default_rng(3)
X = RANDOM.standard_normal((12, 4))
y = X @ np.array([2.0, 0.0, -1.0, 0.0]) + 0.5 + 0.4 * RANDOM.standard_normal(12)


def net(X, y, theta):
    return icg.elastic_net(X, y, jnp.exp(theta), 0.4, fit_intercept=True)


def ridge(X, y, theta):
    return icg.elastic_net(X, y, jnp.exp(theta), 0.0, fit_intercept=True)


def lasso(X, y, theta):
    return icg.lasso(X, y, jnp.exp(theta), fit_intercept=True)


def predictions(model, theta, y):
    value = icg.solve(model(X, y, theta)).value
    return X @ value.coef + value.intercept


def test_degrees_of_freedom_in_closed_form_are_the_trace_of_the_jacobian_and_so_is_every_criterion_and_slope():
    theta, n, h = jnp.asarray(-1.0), 12, 1e-5
    J = jax.jacfwd(lambda y: predictions(net, theta, y))(jnp.asarray(y))
    leverage = np.diagonal(J)
    df, residual = leverage.sum(), np.asarray(predictions(net, theta, jnp.asarray(y))) - y
    rss = residual @ residual
    scores = {
        SURE(net, X, y, 0.4): rss / n - 0.16 + 2 * 0.16 * df / n,
        GCV(net, X, y): rss / n / (1 - df / n) ** 2,
        AIC(net, X, y, 0.4): n * np.log(2 * np.pi * 0.16) + rss / 0.16 + 2 * df,
        BIC(net, X, y): n * np.log(2 * np.pi * rss / n) + n + np.log(n) * df,
    }
    for criterion, value in scores.items():
        assert float(criterion.score(rss, df)) == pytest.approx(value, rel=1e-12)
    loo = np.mean((residual / (1 - leverage)) ** 2)
    evaluate = jax.jit(
        lambda t: jnp.stack(jax.jvp(lambda t: jnp.stack([c(t) for c in (sure, LeaveOneOut(net, X, y))]), (t,), (1.0,)))
    )
    sure = next(iter(scores))
    (below, _), (values, slopes), (above, _) = (np.asarray(evaluate(t)) for t in (theta - h, theta, theta + h))
    np.testing.assert_allclose(values, [scores[sure], loo], rtol=1e-10)
    # central differences: h^2 times a third derivative of order 1
    np.testing.assert_allclose(slopes, (above - below) / (2 * h), rtol=1e-6)


def test_more_features_than_samples_and_sample_weights_change_nothing_in_the_closed_form():
    wide = jnp.asarray(RANDOM.standard_normal((6, 9)))
    target, weight = jnp.asarray(RANDOM.standard_normal(6)), jnp.asarray([1.0, 2.0, 1.0, 0.5, 1.0, 1.0])

    def model(X, y, ratio):
        return icg.elastic_net(X, y, 0.2, ratio, fit_intercept=True, sample_weight=weight)

    def fit(y, ratio):
        value = icg.solve(model(wide, y, ratio)).value
        return wide @ value.coef + value.intercept

    ratio = jnp.asarray(0.3)
    trace = jnp.trace(jax.jacfwd(fit)(target, ratio))
    df, _ = Exact()(lambda y: model(wide, y, ratio), wide, target, icg.solve(model(wide, target, ratio)))
    assert float(df) == pytest.approx(float(trace), rel=1e-9)


def test_leave_one_out_of_ridge_is_that_of_refitting():
    theta, n = -0.5, 12
    refit = jax.jit(jax.vmap(lambda rows: _left_out(rows, theta + np.log(n / (n - 1)))))
    rows = np.stack([np.delete(np.arange(n), i) for i in range(n)])
    errors = np.asarray(refit(jnp.asarray(rows)))
    expected = np.mean(np.square(errors[np.arange(n), np.arange(n)]))
    # the inner tolerance, 1e-12 relative, squared nowhere
    assert float(LeaveOneOut(ridge, X, y)(jnp.asarray(theta))) == pytest.approx(expected, rel=1e-8)


def _left_out(rows, theta):
    value = icg.solve(ridge(jnp.asarray(X)[rows], jnp.asarray(y)[rows], theta)).value
    return jnp.asarray(X) @ value.coef + value.intercept - y


def test_other_models_have_their_degrees_of_freedom_by_derivatives_of_the_fit():
    groups = [0, 0, 1, 1]

    def model(X, y, theta):
        return icg.group_lasso(X, y, jnp.exp(theta), groups)

    theta = jnp.asarray(-2.0)
    fit = jax.jit(lambda y: jnp.asarray(X) @ icg.solve(model(X, y, theta)).value)
    h = 1e-6
    trace = sum(float((fit(y + h * e)[i] - fit(y - h * e)[i]) / (2 * h)) for i, e in enumerate(np.eye(12)))
    df = Exact()(lambda y: model(X, y, theta), jnp.asarray(X), jnp.asarray(y), icg.solve(model(X, y, theta)))[0]
    assert float(df) == pytest.approx(trace, rel=1e-6)  # differences: rounding 1e-12 over h


def test_finite_difference_degrees_are_unbiased_continuous_and_have_the_slope_of_differences():
    theta = jnp.asarray(-2.0)
    exact = float(SURE(lasso, X, y, 0.4)(theta))
    many = SURE(lasso, X, y, 0.4, FiniteDifference(step=1e-5, samples=400))
    # without a kink within the step each sample is d^T J d: mean df, variance 2 ||J||_off^2 <= 2 df
    error = 2 * 0.16 / 12 * np.sqrt(2 * 4 / 400)
    assert float(jax.jit(many)(theta)) == pytest.approx(exact, abs=4 * error)
    smooth = jax.jit(jax.value_and_grad(SURE(lasso, X, y, 0.4, FiniteDifference(samples=2))))
    h = 1e-5
    difference = (smooth(theta + h)[0] - smooth(theta - h)[0]) / (2 * h)
    assert float(smooth(theta)[1]) == pytest.approx(float(difference), rel=1e-5)


def test_along_a_lasso_path_the_lowest_bic_is_that_of_scikit_learn_and_lies_on_a_knot():
    result = tune(BIC(lasso, X, y, 0.4), jnp.log(0.1))
    theirs = LassoLarsIC(criterion="bic", noise_variance=0.16).fit(X, y)
    # scikit-learn does not count the intercept among the degrees of freedom
    assert result.value == pytest.approx(np.min(theirs.criterion_) + np.log(12), rel=1e-9)
    assert float(jnp.exp(result.theta)) == pytest.approx(theirs.alpha_, rel=1e-9)
    assert result.status is Outcome.stationary_jump
    assert np.min(np.abs(result.knots - float(result.theta))) < 1e-12


def test_bad_arguments_are_told():
    with pytest.raises(ValueError, match="standard deviation of the noise"):
        SURE(lasso, X, y, -1.0)
    with pytest.raises(TypeError, match=r"icg\.tuning\.Exact"):
        GCV(lasso, X, y, degrees="exact")
    with pytest.raises(TypeError, match="function"):
        AIC(3, X, y)


def test_penalties_that_depend_on_the_response_count_in_the_degrees_of_freedom():
    """X = sqrt(n) I, u = |y_j| / sqrt(n), penalties c / u: w_j = u - c / u where that is positive."""
    y = jnp.array([4.0, -3.0, 0.5, 2.0])
    X = 2 * jnp.eye(4)

    def adaptive(X, y, c):
        return icg.lasso(X, y, c / jnp.abs(X.T @ y / 4))

    sure = icg.tuning.SURE(adaptive, X, y, sigma=1.0)
    u, c = np.abs(np.asarray(y)) / 2, 0.3
    on = u**2 > c
    fitted = np.where(on, 2 * (u - c / u), 0)
    df = np.sum(np.where(on, 1 + c / u**2, 0))  # more than the number of features
    expected = np.mean((fitted - 2 * u) ** 2) - 1 + 2 * df / 4
    assert float(sure(jnp.asarray(c))) == pytest.approx(expected, rel=1e-10)
    assert recognise(sure, 0.3, jnp.asarray) is None
