r"""
Learn the parameters of a projection from its results
=====================================================

Somebody divides a budget among five assets, day after day, by a rule that we do not know. We assume that the division
is the projection of a score on the simplex,

.. math:: x(s) = \arg\min_{x \ge 0,\; 1^\top x = 1} \; \tfrac12 \|x - W s\|^2,

with signals :math:`s` that we see, and learn the matrix :math:`W` from thirty of its decisions. Most decisions leave
some assets out: they sit on faces of the simplex, where the projection is nonsmooth, and the derivative is that of the
face. (``icg.qp`` in its place would learn the parameters of any quadratic program.)
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

random = np.random.default_rng(1)
assets, signals, days = 5, 3, 30
truth = 0.5 * random.standard_normal((assets, signals))
seen = random.standard_normal((2 * days, signals))


def decide(W, signal):
    """The division of the budget for one day."""
    return icg.projections.simplex(W @ signal)


decisions = jax.jit(jax.vmap(decide, in_axes=(None, 0)))
observed = np.asarray(decisions(truth, seen)) + 0.01 * random.standard_normal((2 * days, assets))

# %%
# The first thirty days teach, the others judge.


def loss(W):
    """The mean squared error of the decisions."""
    return jnp.mean(jnp.square(decisions(W, seen[:days]) - observed[:days]))


result = icg.tune(loss, jnp.zeros((assets, signals)), max_solves=200)
print(result)
predicted = np.asarray(decisions(result.theta, seen[days:]))
error = np.sqrt(np.mean(np.square(predicted - observed[days:])))
print(f"error on new days {error:.4f}, of which noise 0.01")

# %%
# Left: new decisions against those predicted. Right: the loss on the way down, a jump where a face changes.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
left.plot([0, 1], [0, 1], color="#C9CDD3", lw=1)
left.plot(observed[days:].ravel(), predicted.ravel(), ".", color="#0072B2", ms=4)
left.set_xlabel("share decided on new days")
left.set_ylabel("share predicted")
right.semilogy([step.solves for step in result.history], [step.value for step in result.history], color="#D55E00")
right.axhline(1e-4, color="#8A8F98", lw=0.8, ls=":")
right.annotate("noise", (result.solves, 1e-4), ha="right", va="bottom", color="#8A8F98", fontsize=8)
right.set_xlabel("evaluations of the loss")
right.set_ylabel("mean squared error")

assert error < 0.02  # the noise is 0.01
assert np.mean(predicted < 1e-9) > 0.2  # many decisions leave assets out
