r"""
Learning the rules of a fund from its trades
============================================

A fund answers every forecast of returns :math:`\mu` with the portfolio

.. math:: \max_w\; \mu^\top w - \tfrac12 w^\top \Sigma w
          \quad\text{subject to}\quad \sum_i w_i = 1,\; w \ge 0,\; \text{sector sums} \le \text{limits},

and we see its forecasts and portfolios, but neither its risk model :math:`\Sigma` nor the limits of its sectors. A
layer with the same form, :class:`implicitcg.QuadraticLayer`, learns both by gradient descent through the solutions.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

rng = np.random.default_rng(1)
assets, months = 6, 48
sectors = np.kron(np.eye(3), np.ones(2))  # three sectors of two assets
factors = rng.standard_normal((assets, 2))
risk = 0.4 * factors @ factors.T + np.diag(rng.uniform(0.5, 1.5, assets))
limits = np.array([0.5, 0.6, 0.4])
G = jnp.asarray(np.vstack([-np.eye(assets), sectors]))


def layer_of(risk, limits):
    """A layer that knows the form of the rules: the budget, nothing sold short, which assets are in which sector."""
    layer = icg.QuadraticLayer(assets, inequalities=len(G), equalities=1, ridge=0.0, key=jax.random.key(0))
    room = jnp.concatenate([jnp.full(assets, 1 / assets), limits - 1 / 3])
    data = (jnp.linalg.cholesky(risk), jnp.full(assets, 1 / assets), jnp.ones((1, assets)), G, jnp.log(jnp.expm1(room)))
    return eqx.tree_at(lambda l: (l.root, l.centre, l.A, l.G, l.room), layer, data)


def split(layer):
    """What is learned, the risk model and the room that the limits leave, and the rest."""
    learned = eqx.tree_at(lambda l: (l.root, l.room), jax.tree.map(lambda _: False, layer), (True, True))
    return eqx.partition(layer, learned)


@eqx.filter_jit
def evaluate(learned, rest, forecasts, portfolios):
    """The mean squared error of the layer's portfolios and those portfolios; the slope of the error."""

    def error(learned):
        found = jax.vmap(eqx.combine(learned, rest))(-forecasts)
        return jnp.mean(jnp.sum((found - portfolios) ** 2, axis=1)), found

    return eqx.filter_value_and_grad(error, has_aux=True)(learned)


forecasts = jnp.asarray(rng.standard_normal((2, months, assets)))
trades = [evaluate(*split(layer_of(risk, limits)), f, jnp.zeros_like(f))[0][1] for f in forecasts]

# %%
# The layer starts from independent risks and narrow sectors.

learned, rest = split(layer_of(jnp.eye(assets), jnp.full(3, 0.43)))
steps = 120
descent = optax.adam(optax.cosine_decay_schedule(0.1, steps))
state, history, test = descent.init(learned), [], []
for k in range(steps):
    (loss, _), slope = evaluate(learned, rest, forecasts[0], trades[0])
    history.append(float(loss))
    change, state = descent.update(slope, state)
    learned = eqx.apply_updates(learned, change)
    if k % 10 == 0 or k == steps - 1:
        test.append((k, float(evaluate(learned, rest, forecasts[1], trades[1])[0][0])))
layer = eqx.combine(learned, rest)
found = np.asarray(layer.limits())[-3:]
print(f"error on unseen forecasts: {test[0][1]:.1e} before, {test[-1][1]:.1e} after")
print(f"limits of the sectors: {found.round(3)}, in truth {limits}")

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.semilogy(history, color="C0", label="forecasts seen")
left.semilogy(*zip(*test, strict=True), ".", color="C1", label="unseen")
left.set(xlabel="step", ylabel="squared error of a portfolio", title="learning the fund's rules")
left.legend(frameon=False)
place = np.arange(3)
right.bar(place - 0.2, limits, 0.38, color="0.75", label="the fund's")
right.bar(place + 0.2, found, 0.38, color="C0", label="learned")
right.set(xticks=place, xticklabels=["sector 1", "sector 2", "sector 3"], ylabel="limit", title="limits of the sectors")
right.legend(frameon=False)

assert test[-1][1] < 0.01 * test[0][1]
assert np.abs(found - limits).max() < 0.02
