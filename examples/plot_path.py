"""
A whole LASSO path, with its derivatives and its knots
======================================================

Between two knots the coefficients of a LASSO are affine in the penalty. ``icg.path`` follows them from the empty model
down, and gives at every penalty of a grid the exact solution and its derivative, and between them every knot: the
penalties at which a feature enters or leaves. Here are the diabetes data with products of features, 54 columns.

The first picture shows the coefficients. The second one compares, at one penalty, the derivative with the path around:
it is the slope of the piece towards smaller penalties. The ticks at the bottom are the knots.
"""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import implicitcg as icg

data = load_diabetes()
X = PolynomialFeatures(2, include_bias=False).fit_transform(StandardScaler().fit_transform(data.data))
# sex has two values, so its square is affine in it: one of the two columns is enough
X = StandardScaler().fit_transform(np.delete(X, 10 + 10, axis=1)).astype(np.float32)
y = (data.target - data.target.mean()).astype(np.float32)

path = icg.path(icg.lasso, X, y, n_alphas=60, ratio=0.01)
found = np.asarray(path.features) != 0
knots, features = np.asarray(path.knots)[found], np.asarray(path.features)[found]
print(f"{found.sum()} knots, {np.sum(features > 0)} entries and {np.sum(features < 0)} departures")
print(f"largest relative duality gap {float(path.gap.max()):.1e}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
icg.plots.path(path.alphas, path.coef, ax=left, most=6, legend=False)
left.set_title("coefficients")

# the feature that moves most in the middle of the path, and its derivative there
i = len(path.alphas) // 2
j = int(jnp.argmax(jnp.abs(path.slope[i])))
near = slice(i - 8, i + 9)
right.plot(path.alphas[near], path.coef[near, j], "o-", ms=3, lw=1, color="tab:blue", label=f"coefficient {j}")
span = np.array([path.alphas[i + 8], path.alphas[i]])
right.plot(span, path.coef[i, j] + path.slope[i, j] * (span - path.alphas[i]), color="tab:red", label="its derivative")
inside = knots[(knots < path.alphas[i - 8]) & (knots > path.alphas[i + 8])]
right.plot(inside, np.full(len(inside), float(path.coef[near, j].min())), "|", color="gray", ms=9, label="knots")
right.set(xlabel="alpha", title="one coefficient, from the middle of the path")
right.legend(frameon=False)
plt.show()

# %%
# The derivative agrees with the next solution as far as no knot lies between.
step = path.alphas[1:] - path.alphas[:-1]
predicted = path.coef[:-1] + path.slope[:-1] * step[:, None]
quiet = np.array(
    [not np.any((knots < a) & (knots > b)) for a, b in zip(path.alphas[:-1], path.alphas[1:], strict=True)]
)
error = float(jnp.max(jnp.abs((predicted - path.coef[1:])[quiet])) / jnp.max(jnp.abs(path.coef)))
print(f"{quiet.sum()} stretches without a knot, largest error of the prediction there {error:.1e} of the coefficients")
assert error < 1e-4, "the derivative does not lead to the next solution"
