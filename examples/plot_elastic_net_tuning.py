"""
Two hyperparameters without a grid
==================================

An elastic net has a penalty and the share of the l1 norm in it. A grid spends its solves everywhere; a descent with
hypergradients spends them on a line to the minimum, and says when it is there: the gradient of the cross-validation
error vanishes, or, at a kink, zero lies in the hull of the gradients around.
"""

import jax
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import enet_path

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

random = np.random.default_rng(2)
n, p = 80, 40
X = random.standard_normal((n, 5)) @ random.standard_normal((5, p)) + 0.7 * random.standard_normal((n, p))
y = X[:, :8] @ np.linspace(1, 0.3, 8) + 2 * random.standard_normal(n)


def model(X, y, theta):
    """An elastic net of scikit-learn's convention."""
    return icg.elastic_net(X, y, theta["alpha"], theta["l1_ratio"])


# %%
# Hyperparameters keep their names and units; transforms say how they are searched. The share may become 1, a LASSO,
# so it is kept in bounds that can be reached.

folds = icg.tuning.CrossValidation(model, X, y, cv=4)
result = icg.tune(
    folds,
    {"alpha": 1.0, "l1_ratio": 0.9},
    transforms={"alpha": icg.tuning.Positive(), "l1_ratio": icg.tuning.Free()},
    bounds={"alpha": (1e-3, 30.0), "l1_ratio": (0.05, 1.0)},
    max_solves=3000,
)
print(result)

# %%
# The landscape that the search never computed, from 30 x 30 x 4 solves of scikit-learn.

alphas, ratios = np.geomspace(10, 0.02, 30), np.linspace(0.05, 1, 30)
errors = np.zeros((len(ratios), len(alphas)))
for fold in folds.folds:
    for i, ratio in enumerate(ratios):
        _, coefs, _ = enet_path(X[fold.train], y[fold.train], l1_ratio=ratio, alphas=alphas, tol=1e-3)
        errors[i] += np.mean(np.square(X[fold.test] @ coefs - y[fold.test][:, None]), axis=0) / len(folds.folds)

ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")[1]
levels = errors.min() * (1 + np.geomspace(0.002, 1, 12))
filled = ax.contourf(alphas, ratios, errors, levels=[errors.min() * 0.99, *levels], cmap="Blues_r", extend="max")
plt.colorbar(filled, ax=ax, label="cross-validation error", format="%.2f")
steps = np.array([[float(step.theta["alpha"]), float(step.theta["l1_ratio"])] for step in result.history])
ax.plot(*steps.T, "o-", color="#E69F00", ms=4, lw=1.2, label=f"descent, {result.solves} solves")
ax.plot(*steps[-1], "*", color="#D55E00", ms=14, mec="white", label="best")
ax.set_xscale("log")
ax.set_xlabel("alpha")
ax.set_ylabel("l1_ratio")
ax.legend(loc="lower left")

assert result.converged
assert result.value <= errors.min() * (1 + 1e-3)
