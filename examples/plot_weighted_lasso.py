"""
A thousand penalties
====================

A LASSO with one penalty shrinks the good features as much as it must to keep the others out. With one penalty per
feature it need not, and the gradient of a validation loss by all thousand of them costs one more linear solve.

But a thousand numbers fitted to 120 validation samples overfit them: the criterion falls further than the error
on new data. Look at both before you trust many penalties. Three numbers that make the thousand penalties, chosen by
K-fold cross-validation of all rows, do not overfit, and find the model.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

random = np.random.default_rng(0)
n, p, informative = 120, 1000, 10
truth = np.zeros(p)
truth[:informative] = np.where(np.arange(informative) % 2, -1, 1) * np.linspace(2, 0.6, informative)
X = random.standard_normal((2 * n + 1000, p))
y = X @ truth + random.standard_normal(len(X))
train, held_out, test = slice(0, n), slice(n, 2 * n), slice(2 * n, None)

# %%
# One penalty first, by its exact path. Then one per feature, from there.

criterion = icg.tuning.HoldOut(lambda a: icg.lasso(X[train], y[train], a), X[held_out], y[held_out])
single = icg.tune(criterion, 0.1, transforms=icg.tuning.Positive())
weighted = icg.tune(
    criterion,
    jnp.full(p, single.theta),
    transforms=icg.tuning.Positive(),
    bounds=(float(single.theta) / 50, 5 * float(single.theta)),
    max_solves=40,
)
print(weighted)

# %%
# The same thousand penalties from three numbers: those of an adaptive LASSO, ``level / (|w| + soft)``, where ``w`` is a
# LASSO with the penalty ``first``. The hypergradient passes through both solutions.


def adaptive(X, y, theta):
    """A LASSO whose penalties come from another."""
    w = icg.solve(icg.lasso(X, y, theta["first"]), throw=False).value
    return icg.lasso(X, y, theta["level"] / (jnp.abs(w) + theta["soft"]))


rows = slice(0, 2 * n)
folds = icg.tuning.CrossValidation(adaptive, X[rows], y[rows], cv=3)
c = float(single.theta)
three = icg.tune(
    folds,
    {"first": c, "level": c / 3, "soft": 0.3},
    transforms=icg.tuning.Positive(),
    bounds=(1e-3, 10.0),
    max_solves=90,
)
print(three)

# %%
# Left: what the search saw, and what is true. Right: the coefficients; one penalty pulls all of them towards zero.


def coefficients(alpha):
    """The LASSO with penalties `(p,)`."""
    return np.asarray(icg.solve(icg.lasso(X[train], y[train], jnp.broadcast_to(alpha, (p,)))).value)


fits = {
    "one penalty": (single, coefficients(single.theta)),
    f"{p} penalties": (weighted, coefficients(weighted.theta)),
    "three numbers,\n3 folds": (three, np.asarray(icg.solve(adaptive(X[rows], y[rows], three.theta)).value)),
}
errors = [float(np.mean(np.square(X[test] @ w - y[test]))) for _, w in fits.values()]
for (name, (result, w)), error in zip(fits.items(), errors, strict=True):
    label = name.replace("\n", " ")
    print(f"{label:23} criterion {result.value:.3f}, new data {error:.3f}, {np.count_nonzero(w)} features")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", width_ratios=(1, 1.3))
place = np.arange(len(fits))
left.bar(place - 0.2, [result.value for result, _ in fits.values()], 0.38, color="#0072B2", label="criterion")
left.bar(place + 0.2, errors, 0.38, color="#D55E00", label="new data")
left.axhline(1, color="#8A8F98", lw=0.8, ls=":")
left.annotate("noise", (2.45, 1), ha="right", va="bottom", color="#8A8F98", fontsize=8)
left.set_xticks(place, list(fits))
left.set_ylabel("mean squared error")
left.legend(frameon=False)
shown = np.arange(40)
right.plot(shown, truth[shown], "_", color="black", ms=9, label="truth")
for (name, (_, w)), colour in zip(fits.items(), ["#8A8F98", "#D55E00", "#009E73"], strict=True):
    inside = np.flatnonzero(w[shown])
    right.plot(inside, w[inside], "o", ms=4, color=colour, label=name)
right.set_xlabel("feature")
right.set_ylabel("coefficient")
right.legend(frameon=False)

assert weighted.value < 0.9 * single.value
assert errors[1] < 0.95 * errors[0]
assert errors[2] < errors[1] < errors[0]
