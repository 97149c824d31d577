"""
Sparse logistic regression on breast cancer, and the kinks of its path
======================================================================

Which measurements of a cell nucleus tell a malignant tumour from a benign one? A logistic model with an l1 penalty
answers with few of the thirty. The penalty is chosen by minimising the loss on held-out patients, with derivatives
that pass through the solution of the model. Along the penalty the coefficients bend wherever one of them enters or
leaves: these are the kinks, and between them the derivative is exact.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

data = load_breast_cancer()
labels = 2.0 * data.target - 1  # -1 is malignant, 1 is benign
X_train, X_val, y_train, y_val = train_test_split(data.data, labels, test_size=0.3, random_state=0, stratify=labels)
scaler = StandardScaler().fit(X_train)
X_train, X_val = scaler.transform(X_train), scaler.transform(X_val)


def model(log_alpha):
    """The problem on the training patients."""
    return icg.sparse_logistic(X_train, y_train, jnp.exp(log_alpha), fit_intercept=True)


# %%
# The held-out loss is a function of ``log(alpha)`` like any other: ``icg.tune`` finds its minimum.

criterion = icg.tuning.HoldOut(model, X_val, y_val, loss="logistic")
result = icg.tune(criterion, jnp.log(0.01), bounds=(float(jnp.log(1e-4)), float(jnp.log(0.4))), progress=False)
best = jnp.asarray(result.theta)
solution = icg.solve(model(best))
certificate = icg.certify(model(best), solution)
print(f"alpha = {float(jnp.exp(best)):.5f}, held-out loss {float(result.value):.4f}")
for j in np.argsort(-np.abs(solution.value.coef))[: np.count_nonzero(solution.value.coef)]:
    print(f"  {float(solution.value.coef[j]):+.3f}  {data.feature_names[j]}")
print(certificate)

# %%
# The path, with its derivative, is one compiled program: every penalty is solved from the solution before it.


@jax.jit
def path(log_alphas):
    """Coefficients along the penalties, and their derivatives."""

    def step(start, log_alpha):
        def coefficients(t):
            found = icg.solve(model(t), init=start)
            return found.value.coef, found.root

        (coef, root), (slope, _) = jax.jvp(coefficients, (log_alpha,), (jnp.ones_like(log_alpha),))
        return root, (coef, slope)

    return jax.lax.scan(step, jnp.zeros(X_train.shape[1] + 1), log_alphas)[1]


grid = jnp.linspace(jnp.log(0.4), jnp.log(1e-3), 120)
coefs, slopes = map(np.asarray, path(grid))

# A kink lies in each cell of the grid where the set of active features changes; halving the cells locates it.


@jax.jit
@jax.vmap
def kink(left, right):
    """Where, between the two, the active set changes."""
    active = icg.solve(model(left)).value.coef != 0

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        same = jnp.all((icg.solve(model(middle)).value.coef != 0) == active)
        return jnp.where(same, middle, low), jnp.where(same, high, middle)

    return jax.lax.fori_loop(0, 25, halve, (left, right))[1]


changes = np.flatnonzero(np.any((coefs[1:] != 0) != (coefs[:-1] != 0), axis=1))
kinks = np.exp(np.asarray(kink(grid[changes], grid[changes + 1])))

fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
strongest = np.argsort(-np.abs(np.asarray(solution.value.coef)))[:4]
for j in range(coefs.shape[1]):
    label = data.feature_names[j] if j in strongest else None
    ax.plot(np.exp(grid), coefs[:, j], lw=1.8 if label else 0.8, color=None if label else "0.75", label=label)
ax.plot(kinks, np.full_like(kinks, ax.get_ylim()[0]), "|", color="0.3", ms=9, label="kinks")
ax.axvline(np.exp(best), color="k", ls=":", lw=1, label="least held-out loss")
ax.set(xscale="log", xlabel="alpha", ylabel="coefficient", title="a feature enters at each kink")
ax.legend(fontsize=8)

# %%
# Between two neighbouring points without a kink, the derivative integrates to the difference (trapezium rule, whose
# error is of third order in the step).

quiet = np.setdiff1d(np.arange(len(grid) - 1), changes)
step = float(grid[1] - grid[0])
predicted = step * (slopes[quiet] + slopes[quiet + 1]) / 2
error = np.abs(coefs[quiet + 1] - coefs[quiet] - predicted).max() / np.abs(coefs).max()
print(f"{len(kinks)} cells with kinks; largest relative error of the trapezium rule {error:.1e}")
assert error < 1e-3 and certificate.verdict == "certified" and len(kinks) > 10
