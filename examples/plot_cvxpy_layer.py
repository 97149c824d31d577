r"""
A portfolio that learns what to forecast
========================================

A fund rebalances between six assets every month. It forecasts their returns from two signals by a linear model and
solves

.. math:: \max_w\; \mu^\top w - \gamma \|F w\|^2 - \kappa \|w - w_0\|_1
          \quad\text{subject to}\quad \sum_i w_i = 1,\; 0 \le w \le 0.4,

with a risk model :math:`F` and costs for trading away from :math:`w_0`, written in CVXPY. Trained to forecast well, the
model spends its fit on assets that the portfolio would never buy. Trained *through* the portfolio, on the utility that
comes out, it learns what matters for the decision.
"""

import cvxpy as cp
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

rng = np.random.default_rng(3)
assets, months = 6, 24
signals = rng.standard_normal((months, 2))
# returns bend in the signals, so that no linear forecast is right everywhere
strength = rng.standard_normal((2, assets))
returns = np.tanh(2 * signals @ strength) * np.linspace(0.5, 2.0, assets) + 0.3 * rng.standard_normal((months, assets))
F = np.diag(np.linspace(0.4, 1.2, assets)) + 0.15 * rng.standard_normal((assets, assets))
today = np.full(assets, 1 / assets)
risk, cost = 0.5, 0.02

mu, w = cp.Parameter(assets, name="mu"), cp.Variable(assets, name="w")
utility = mu @ w - risk * cp.sum_squares(F @ w) - cost * cp.norm1(w - today)
problem = cp.Problem(cp.Maximize(utility), [cp.sum(w) == 1, w >= 0, w <= 0.4])
layer = icg.CvxpyLayer(problem, [mu], [w])

# %%
# The layer takes the forecasts of all months at once, and is differentiated like any other function.


def realised(weights):
    """The utility of each month with the returns that came."""
    traded = jnp.sum(jnp.abs(weights - today), axis=1)
    return jnp.sum(returns * weights, axis=1) - risk * jnp.sum((weights @ F.T) ** 2, axis=1) - cost * traded


@jax.jit
def value_and_slope(model):
    """The mean loss of utility of a linear forecast, and its gradient."""
    return jax.value_and_grad(lambda m: -jnp.mean(realised(layer(signals @ m)[0])))(model)


forecast = jnp.asarray(np.linalg.lstsq(signals, returns, rcond=None)[0])
model, descent = forecast, optax.adam(0.1)
state, history = descent.init(model), []
for _ in range(24):
    loss, slope = value_and_slope(model)
    history.append(-float(loss))
    change, state = descent.update(slope, state)
    model = model + change
print(f"mean utility: least squares {history[0]:.3f}, through the portfolio {max(history):.3f}")

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(history, color="C0")
left.axhline(history[0], color="0.6", lw=1, ls="--")
left.text(len(history) - 1, history[0], "least squares", ha="right", va="bottom", fontsize=8, color="0.4")
left.set(xlabel="step", ylabel="mean utility a month", title="trained through the portfolio")
month = np.arange(12)
weights = np.asarray(layer(signals @ model)[0])[:12]
right.stackplot(month, weights.T, colors=plt.get_cmap("viridis")(np.linspace(0.1, 0.9, assets)), step="mid")
right.set(xlabel="month", ylabel="weights", title="the first year's portfolios", ylim=(0, 1), xlim=(0, 11))

epsilon = 1e-6 * np.cos(np.arange(2 * assets)).reshape(2, assets)
ahead, behind = (value_and_slope(forecast + sign * epsilon)[0] for sign in (1, -1))
slope = float(jnp.sum(value_and_slope(forecast)[1] * epsilon))
assert abs(slope - float(ahead - behind) / 2) < 1e-4 * abs(slope)
assert max(history) > history[0] + 0.01
assert np.allclose(weights.sum(axis=1), 1) and weights.min() > -1e-7 and weights.max() < 0.4 + 1e-7
