"""
Several responses, one choice of features
=========================================

Three responses depend on the same few of a dozen features, each in its own way. A multi-task LASSO penalises the row of
a feature's three coefficients as a whole, so it decides once for all responses what is kept. Both it and three separate
LASSOs are tuned here on the same held-out rows; the penalty of each by derivatives or along its exact path.
"""

import jax
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

random = np.random.default_rng(1)
n, p, tasks, informative = 40, 12, 3, 3
truth = np.zeros((tasks, p))
truth[:, :informative] = random.standard_normal((tasks, informative))
X = random.standard_normal((n + 500, p))
Y = X @ truth.T + 1.5 * random.standard_normal((n + 500, tasks))
fitted, judged, new = slice(0, 20), slice(20, n), slice(n, None)


def tuned(y, alpha, model):
    """The penalty of least error on the held-out rows, and the coefficients there."""
    criterion = icg.tuning.HoldOut(lambda a: model(X[fitted], y[fitted], a), X[judged], y[judged])
    found = icg.tune(criterion, alpha, transforms=icg.tuning.Positive(), bounds=(0.02, 3.0))
    return found, np.asarray(icg.solve(model(X[fitted], y[fitted], found.theta)).value)


together, rows = tuned(Y, 0.5, icg.multitask_lasso)
print(together)
apart = [tuned(Y[:, k], 0.5, icg.lasso)[1] for k in range(tasks)]
coefs = {"truth": truth, "together": rows.T, "apart": np.stack(apart)}

# %%
# Rows are responses, columns features: together, whole columns are kept or dropped.

figure, axes = plt.subplots(3, 1, figsize=(7, 4.4), layout="constrained", sharex=True)
for ax, (name, values) in zip(axes, coefs.items(), strict=True):
    image = ax.imshow(values, cmap="RdBu_r", vmin=-2, vmax=2, aspect="auto")
    ax.set_yticks([])
    ax.set_ylabel(name)
axes[-1].set_xlabel("feature")
figure.colorbar(image, ax=axes, label="coefficient")

errors = {name: float(np.mean(np.square(X[new] @ values.T - Y[new]))) for name, values in coefs.items()}
for name, error in errors.items():
    kept = np.count_nonzero(np.any(coefs[name] != 0, axis=0))
    print(f"{name:9} error on new rows {error:.3f}, {kept} features used by some response")

assert together.converged
assert errors["together"] < errors["apart"]
