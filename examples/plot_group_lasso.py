"""
Which variables matter, and how: a group LASSO of curves
========================================================

Every variable enters through a small basis of functions, and a group LASSO keeps or drops the basis as a whole: what
is left is a list of variables, each with a curve. The penalty is the one of least error on held-out rows, found by
derivatives of the fits instead of a grid.
"""

import jax
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

random = np.random.default_rng(0)
n, variables = 60, 6
inputs = random.uniform(-1, 1, (n, variables))
truth = [lambda t: np.sin(3 * t), lambda t: 2 * t**2 - 0.7, lambda t: -t]  # the other three do nothing
y = sum(curve(inputs[:, j]) for j, curve in enumerate(truth)) + 0.7 * random.standard_normal(n)


def basis(t):
    """Three Legendre polynomials of each variable, `(n, 3 variables)`."""
    return np.concatenate([np.polynomial.legendre.legvander(column, 3)[:, 1:] for column in t.T], axis=1)


groups = np.repeat(np.arange(variables), 3)
Z, fitted, judged = basis(inputs), slice(0, 30), slice(30, n)


def model(alpha):
    """Curves from the first rows."""
    return icg.group_lasso(Z[fitted], y[fitted], alpha, groups, fit_intercept=True)


criterion = icg.tuning.HoldOut(model, Z[judged], y[judged])
found = icg.tune(criterion, 0.05, transforms=icg.tuning.Positive(), bounds=(3e-3, 0.4))
print(found)
solution = icg.solve(model(found.theta))
coef = np.asarray(solution.value.coef)

# %%
# Left: the criterion; where its slope jumps a variable enters. Right: the curves that are left.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
icg.plots.tuning(found, ax=left, criterion="error on held-out rows")
line = np.linspace(-1, 1, 200)
sizes = np.array([np.linalg.norm(coef[groups == j]) for j in range(variables)])
for j in np.flatnonzero(sizes):
    curve = np.polynomial.legendre.legvander(line, 3)[:, 1:] @ coef[groups == j]
    colour = f"C{j}" if j < len(truth) else "#B0B4BA"
    right.plot(line, curve, color=colour, label=f"variable {j}" if j < len(truth) else None)
    if j < len(truth):
        right.plot(line, truth[j](line) - truth[j](line).mean(), ":", color=colour, lw=1)
right.set_xlabel("variable")
right.set_ylabel("what it adds (dotted: the truth)")
right.legend(frameon=False)

assert found.converged
assert sizes[:3].min() > 3 * sizes[3:].max()
