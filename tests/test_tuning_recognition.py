"""What is taken for a LASSO in one strength is read from the program of the model, for all values and not for some."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg
from implicitcg.equations.forms import lasso_form
from implicitcg.equations.one_parameter import ExponentialForm, LineForm, read
from implicitcg.tuning import CrossValidation, HoldOut, Outcome, tune
from implicitcg.tuning.exact import recognise as module
from implicitcg.tuning.exact.recognise import recognise

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((60, 8))
y = X @ np.r_[1.0, -2.0, np.zeros(6)] + 0.5 * RANDOM.standard_normal(60)
W = np.array([1.0, 2.0, 3.0, 0.0, 1.0, 1.0, 1.0, 1.0])


@jax.jit
def jitted(t):
    return jnp.exp(t)


@jax.custom_jvp
def with_a_rule_of_its_own(t):
    return jnp.exp(t)


with_a_rule_of_its_own.defjvp(lambda at, by: (with_a_rule_of_its_own(*at), jnp.zeros(())))


FLOOR = jnp.asarray(0.3)


READ = {
    "exp": (jnp.exp, jnp.exp),
    "a power of ten": (lambda t: 10.0**t, lambda t: 10.0**t),
    "jnp.power": (lambda t: jnp.power(10.0, t), lambda t: 10.0**t),
    "products, quotients and sums inside": (lambda t: 3 * jnp.exp(2 * t - 1) / 4, lambda t: 0.75 * np.exp(2 * t - 1)),
    "falling": (lambda t: 2 / jnp.exp(t), lambda t: 2 * np.exp(-t)),
    "powers of it": (lambda t: jnp.sqrt(jnp.exp(t)) * jnp.exp(t) ** 2, lambda t: np.exp(2.5 * t)),
    "through its logarithm": (lambda t: jnp.exp(jnp.log(3 * jnp.exp(t)) / 2), lambda t: np.sqrt(3 * np.exp(t))),
    "jitted": (lambda t: jitted(t) / 3, lambda t: np.exp(t) / 3),
    "one a feature": (lambda t: jnp.exp(t) * W, lambda t: np.exp(t) * W),
    "stacked": (lambda t: jnp.stack([jnp.exp(t)] * 7 + [0.0]), lambda t: np.exp(t) * np.r_[np.ones(7), 0]),
    "itself": (lambda t: t, lambda t: t),
    "a line a feature": (lambda t: (1 + 2 * t) * W, lambda t: (1 + 2 * t) * W),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_read_is_the_strength_at_every_value(name):
    strength, expected = READ[name]
    form = lasso_form(read(lambda t: icg.lasso(X, y, strength(t)), jnp.zeros(())))
    assert form is not None and isinstance(form.alpha, LineForm | ExponentialForm)
    found = recognise(CrossValidation(lambda X, y, t: icg.lasso(X, y, strength(t)), X, y, cv=3), 0.5, jnp.asarray)
    assert found is not None
    for t in (0.1, 0.5, 3.0, 40.0):
        alpha = found.strength.at(t) * found.folds[0].penalties
        np.testing.assert_allclose(alpha, np.broadcast_to(expected(t), (8,)), rtol=1e-13)


UNREAD = {
    "a floor": lambda X, y, t: icg.lasso(X, y, jnp.maximum(jnp.exp(t), 0.3)),
    "a floor closed over": lambda X, y, t: icg.lasso(X, y, jnp.maximum(jnp.exp(t), FLOOR)),
    "a step": lambda X, y, t: icg.lasso(X, y, jnp.where(t > -1, jnp.exp(t), 3 * jnp.exp(t))),
    "a clip": lambda X, y, t: icg.lasso(X, y, jnp.exp(jnp.clip(t, -2, 2))),
    "a branch": lambda X, y, t: icg.lasso(X, y, jax.lax.cond(t > -1, jnp.exp, lambda t: 3 * jnp.exp(t), t)),
    "a rounding": lambda X, y, t: icg.lasso(X, y, jnp.exp(jnp.round(t, 3))),
    "integers": lambda X, y, t: icg.lasso(X, y, jnp.exp((t * 8).astype(int).astype(float))),
    "two ways": lambda X, y, t: icg.lasso(X, y, jnp.exp(t) + jnp.exp(2 * t)),
    "two rates": lambda X, y, t: icg.lasso(X, y, jnp.exp(t * (1 + W))),
    "a line not through the others": lambda X, y, t: icg.lasso(X, y, 1 + t * W),
    "a softplus": lambda X, y, t: icg.lasso(X, y, jax.nn.softplus(t)),
    "a rule of its own": lambda X, y, t: icg.lasso(X, y, with_a_rule_of_its_own(t)),
    "no derivative": lambda X, y, t: icg.lasso(X, y, jax.lax.stop_gradient(jnp.exp(t))),
    "a loop": lambda X, y, t: icg.lasso(X, y, jax.lax.fori_loop(0, 3, lambda i, a: a * jnp.exp(t), 1.0)),
    "features that move": lambda X, y, t: icg.lasso(X * jnp.cosh(t), y, jnp.exp(t)),
    "a response that moves": lambda X, y, t: icg.lasso(X, y + t, jnp.exp(t)),
    "weights that move": lambda X, y, t: icg.lasso(X, y, jnp.exp(t), sample_weight=jnp.exp(t * y)),
    "an if": lambda X, y, t: icg.lasso(X, y, jnp.exp(t) if t < 1 else 3 * jnp.exp(t)),
    "NumPy": lambda X, y, t: icg.lasso(X, y, np.exp(t)),
    "a constant": lambda X, y, t: icg.lasso(X, y, 0.3),
    "another model": lambda X, y, t: icg.elastic_net(X, y, jnp.exp(t)),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_cannot_be_read_is_not_taken_for_an_exact_path(name):
    assert recognise(CrossValidation(UNREAD[name], X, y, cv=3), 0.5, jnp.asarray) is None


@pytest.mark.parametrize("name", ["a floor", "a step"])
def test_the_value_told_is_the_criterion_and_the_scope_is_told_truthfully(name):
    criterion = CrossValidation(UNREAD[name], X, y, cv=3)
    found = tune(criterion, 0.0)
    assert float(found.value) == pytest.approx(float(criterion(found.theta)), rel=1e-9)
    assert "every piece" not in found.scope and "best of the range" in found.scope


def test_an_exact_search_that_the_model_denies_goes_by_solves(monkeypatch):
    honest = module.common_strength

    def half(*arguments):
        strength, weights = honest(*arguments)
        return strength, [v / 2 for v in weights]

    monkeypatch.setattr(module, "common_strength", half)
    criterion = HoldOut(lambda t: icg.lasso(X[:40], y[:40], jnp.exp(t)), X[40:], y[40:])
    found = tune(criterion, 0.0)
    assert found.status in (Outcome.stationary_smooth, Outcome.stationary_kink)
    assert any("denies" in note and "duality gap" in note for note in found.notes)
    assert "best of the range" in found.scope
    assert float(found.value) == pytest.approx(float(criterion(found.theta)), rel=1e-9)


@pytest.mark.parametrize("strength", [lambda a: jnp.maximum(a, 0.3), lambda a: a * a, lambda a: a + 0.1])
def test_a_path_solves_the_model_at_every_penalty(strength):
    alphas = jnp.array([1.0, 0.5, 0.1, 0.01])
    found = icg.path(lambda X, y, a: icg.lasso(X, y, strength(a)), X, y, alphas)
    assert found.converged.all() and found.knots.size == 0
    at = jax.jit(jax.vmap(lambda a: icg.solve(icg.lasso(X, y, strength(a))).value))
    np.testing.assert_allclose(found.coef, at(alphas), atol=1e-9)
