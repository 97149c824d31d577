r"""
What does a planner want? The parameters of a quadratic program from its decisions
===================================================================================

A planner buys quantities of four goods at changing prices, within a budget,

.. math:: x(p) = \arg\min_{x \ge 0,\; p^T x \le b} \; \tfrac12 x^T Q x - u^T x ,

and we see prices and purchases only, with noise. The utilities :math:`u`, the curvatures (the diagonal of :math:`Q`)
and the budget :math:`b` are hyperparameters of an inner program: `icg.tune` learns all seven through `icg.qp`. Where a
good is no longer bought, or the budget no longer spent, the prediction has a kink.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

goods, days = 3, 20
random = np.random.default_rng(0)
prices = jnp.asarray(random.uniform(0.5, 2.0, (2 * days, goods)))
truth = {"utility": jnp.array([3.0, 2.0, 1.0]), "curvature": jnp.array([1.0, 0.8, 0.6]), "budget": jnp.array(3.0)}
truth = jax.tree.map(lambda x: jnp.asarray(x, float), truth)
known, new = prices[:days], prices[days:]


@jax.jit
def purchases(theta, prices):
    """What is bought at each row of prices."""

    def one(price):
        rows = jnp.concatenate([-jnp.eye(goods), price[None]])
        limits = jnp.append(jnp.zeros(goods), theta["budget"])
        return icg.solve(icg.qp(jnp.diag(theta["curvature"]), -theta["utility"], G=rows, h=limits)).value

    return jax.lax.map(one, prices)


def observed(prices):
    """The planner's purchases, with noise."""
    return purchases(truth, prices) + 0.05 * random.standard_normal(prices.shape)


seen, seen_later = observed(known), observed(new)


def surprise(theta):
    """The mean squared error of the predicted purchases on the first half of the days."""
    return jnp.mean(jnp.square(purchases(theta, known) - seen))


guess = {"utility": jnp.full(goods, 2.0), "curvature": jnp.ones(goods), "budget": jnp.array(2.0)}
found = icg.tune(surprise, guess, transforms=icg.tuning.Positive(), max_solves=40)
print(found)

# %%
# Days that were not used tell whether the planner is understood.

guess, learnt = (jax.tree.map(lambda x: jnp.asarray(x, float), theta) for theta in (guess, found.theta))  # one program
errors = [float(jnp.mean(jnp.square(purchases(theta, new) - seen_later))) for theta in (guess, learnt, truth)]
print("error on new days: guess {:.4f}, learnt {:.4f}, truth {:.4f}".format(*errors))

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
for name, marker in (("utility", "o"), ("curvature", "s"), ("budget", "D")):
    left.plot(truth[name], found.theta[name], marker, label=name, mec="white", ms=8)
left.axline((1, 1), slope=1, color="#8A8F98", lw=0.8)
left.set_xlabel("truth")
left.set_ylabel("learnt")
left.legend(frameon=False)
predicted = purchases(learnt, new)
for good in range(goods):
    right.plot(seen_later[:, good], predicted[:, good], ".", label=f"good {good}")
right.axline((0, 0), slope=1, color="#8A8F98", lw=0.8)
right.set_xlabel("bought on new days")
right.set_ylabel("predicted")
right.legend(frameon=False)

assert found.value < 0.05 * found.history[0].value
assert errors[1] < 1.5 * errors[2]
