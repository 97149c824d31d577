"""
A tube of the right width: support vector regression
====================================================

Support vector regression ignores errors within a tube of half-width epsilon and counts those outside by their size,
so a few wild measurements hardly move it. How wide the tube is and how strongly errors count are two hyperparameters:
both are found by descent on the loss of held-out points, through the solutions of the dual program.
"""

import jax
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

random = np.random.default_rng(3)
n = 60
t = np.sort(random.uniform(-1, 1, n))
y = 1.5 * t - 2 * t**3 + 0.15 * random.standard_normal(n)
wild = random.choice(n, 8, replace=False)
y[wild] += random.choice([-1, 1], 8) * random.uniform(1.5, 3, 8)


def features(t):
    """Powers up to the fifth."""
    return np.stack([t**k for k in range(6)], axis=1)


fitted, judged = np.arange(n) % 3 > 0, np.arange(n) % 3 == 0


def model(theta):
    """Support vectors among two thirds of the points."""
    return icg.svr(features(t[fitted]), y[fitted], theta["C"], theta["epsilon"])


criterion = icg.tuning.HoldOut(model, features(t[judged]), y[judged], loss="absolute")
found = icg.tune(
    criterion,
    {"C": 1.0, "epsilon": 0.5},
    transforms=icg.tuning.Positive(),
    bounds={"C": (0.01, 100.0), "epsilon": (0.02, 2.0)},
    max_solves=60,
)
print(found)
coef, width = np.asarray(icg.solve(model(found.theta)).value), float(found.theta["epsilon"])

# %%
# Least squares with the same features follows the wild points.

line = np.linspace(-1, 1, 200)
truth = 1.5 * line - 2 * line**3
tuned = features(line) @ coef
squares = features(line) @ np.linalg.lstsq(features(t[fitted]), y[fitted], rcond=None)[0]

ax = plt.subplots(figsize=(6.4, 4), layout="constrained")[1]
ax.plot(t, y, ".", color="#8A8F98", label="measurements")
ax.plot(line, truth, ":", color="black", lw=1, label="truth")
ax.plot(line, squares, color="#E69F00", label="least squares")
ax.plot(line, tuned, color="#0072B2", label="support vectors, tuned")
ax.fill_between(line, tuned - width, tuned + width, color="#0072B2", alpha=0.15, lw=0)
ax.set_ylim(-2.2, 2.2)
ax.legend(frameon=False)

assert np.mean(np.abs(tuned - truth)) < 0.7 * np.mean(np.abs(squares - truth))
