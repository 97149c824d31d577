r"""
Find wrong labels with one weight per sample
============================================

Three of ten training labels are wrong, and nobody knows which. A small set of samples has been checked by hand. Give
every training sample a weight :math:`s_i`, fit a sparse logistic regression with these weights, and choose the weights
that make the fit predict the checked samples well:

.. math:: \min_s \; L_\text{checked}(w(s)), \qquad
   w(s) = \arg\min_w \sum_i s_i \log(1 + e^{-y_i x_i^\top w}) + \alpha \|w\|_1.

The gradient by all weights costs one more linear solve than the fit itself. Wrong labels lose their weight, and so do
samples that the checked ones do not need.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

images, digits = load_digits(return_X_y=True)
of_two = np.flatnonzero((digits == 3) | (digits == 8))
random = np.random.default_rng(0)
order = random.permutation(of_two)
X, y = images / 16 - 0.5, np.where(digits == 8, 1.0, -1.0)
train, checked, test = order[:120], order[120:180], order[180:]
wrong = random.random(120) < 0.3
labels = np.where(wrong, -y[train], y[train])

# %%
# The weight is a logistic function of the number that is searched, so it stays between 0 and 1.


def fitted(theta):
    """Coefficients of the weighted fit."""
    weights = jax.nn.sigmoid(theta)
    return icg.solve(icg.sparse_logistic(X[train], labels, 0.02, sample_weight=weights)).value


def on_checked(theta):
    """The loss on the samples that were checked."""
    return jnp.mean(jnp.logaddexp(0.0, -y[checked] * (X[checked] @ fitted(theta))))


result = icg.tune(on_checked, jnp.zeros(120), bounds=(-4.0, 4.0), max_solves=40)
print(result)

# %%
# What it buys: accuracy on samples that neither fit nor weights have seen, before and after.


def accuracy(theta):
    """Share of test samples predicted right."""
    return float(np.mean(np.sign(X[test] @ np.asarray(fitted(theta))) == y[test]))


before, after = accuracy(jnp.zeros(120)), accuracy(result.theta)
weights = np.asarray(jax.nn.sigmoid(result.theta))
kept = weights > 0.5
print(f"accuracy on {len(test)} new samples: {before:.3f} with equal weights, {after:.3f} with the weights found")
print(f"wrong labels: {wrong.mean():.0%} of all, {wrong[kept].mean():.0%} of those that keep their weight")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained", width_ratios=(1, 1.4))
bins = np.linspace(0, 1, 21)
left.hist([weights[~wrong], weights[wrong]], bins, stacked=True, color=["#0072B2", "#D55E00"], label=["right", "wrong"])
left.set_xlabel("weight found")
left.set_ylabel("training samples")
left.legend(title="label", frameon=False)
rank = np.argsort(weights)[:18]
right.imshow(np.block([[images[train[i]].reshape(8, 8) for i in rank[row : row + 9]] for row in (0, 9)]), cmap="gray_r")
for place, i in enumerate(rank):
    colour = "#D55E00" if wrong[i] else "#0072B2"
    text = "8" if labels[i] > 0 else "3"
    right.text(8 * (place % 9) + 6.6, 8 * (place // 9) + 1.2, text, color=colour, ha="right", va="center", fontsize=9)
right.set_title("least trusted samples, with the label they came with", fontsize=9)
right.set_axis_off()

assert after > before + 0.02
assert wrong[kept].mean() < wrong.mean() / 2
