"""
Ranks that can be differentiated
================================

A rank is a step function: its derivative is zero, so no descent can improve an order. A *soft rank* is the projection
of ``x / strength`` on the permutahedron, the polytope whose corners are the permutations of ``(1, ..., n)``. It is
piecewise linear, equal to the exact rank wherever entries are further apart than the strength, and its derivative is
exact. Here it shows what that looks like, where its kinks are, and fits a model by Spearman's correlation, which only
sees the order.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

# %%
# One entry of four moves from left to right. At strength 0 its rank jumps at each of the others; at a larger strength
# it climbs over a width of the strength on either side, where the two entries share their places.

others = jnp.array([-1.0, 0.0, 1.5])
grid = jnp.linspace(-2.5, 3.0, 551)


def moving_rank(x, strength):
    """The soft rank of the entry that moves."""
    return icg.sorting.soft_rank(jnp.append(others, x), strength)[-1]


curves = {s: np.asarray(jax.vmap(lambda x, s=s: moving_rank(x, s))(grid)) for s in (0.0, 0.3, 1.0)}

# %%
# The kinks are where two entries differ by exactly the strength: there they are about to part. ``icg.kinks`` finds
# them, and the set of derivatives holds both slopes: 0, the exact rank, and the slope of those who share.

at_kink = jnp.append(others, 0.5)  # half way: with strength 0.5 it just reaches its exact rank
print(icg.kinks(lambda x: icg.sorting.soft_rank(x, 0.5), at_kink))
slopes = icg.conservative_jacobian(lambda x: icg.sorting.soft_rank(x, 0.5)[-1], at_kink)
print(slopes.vertices)

# %%
# A monotone but very curved response: squared error is led astray by the largest values, while the order of the
# predictions is all that Spearman's correlation asks for. The direction is found by plain gradient ascent.

random = np.random.default_rng(0)
direction = np.array([1.0, -2.0, 0.5])
X = jnp.asarray(random.standard_normal((60, 3)))
y = jnp.exp(1.5 * X @ direction) + 0.01 * random.standard_normal(60)


@jax.jit
def ascend(w):
    """One step of ascent on the soft correlation, along the sphere."""
    slope = jax.grad(lambda w: icg.sorting.spearman(X @ w, y, 0.3))(w)
    w = w + 0.5 * slope
    return w / jnp.linalg.norm(w)


def angle(w):
    """Degrees between a direction and the true one."""
    cosine = jnp.dot(w, direction) / jnp.linalg.norm(w) / np.linalg.norm(direction)
    return float(jnp.rad2deg(jnp.arccos(jnp.clip(cosine, -1, 1))))


least_squares = jnp.linalg.lstsq(X, y)[0]
w, path = jnp.ones(3) / jnp.sqrt(3.0), []
for _ in range(60):
    path.append(float(icg.sorting.spearman(X @ w, y, 0.0)))
    w = ascend(w)
print(f"off by {angle(least_squares):.1f} degrees: least squares; by {angle(w):.1f}: ranks")

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for (strength, curve), color in zip(curves.items(), ("#999999", "#0072B2", "#D55E00"), strict=True):
    left.plot(grid, curve, color=color, label=f"strength {strength:g}")
for other in others:
    left.axvline(float(other), color="#CCCCCC", lw=0.8, zorder=0)
left.set(xlabel="the entry that moves", ylabel="its rank", yticks=[1, 2, 3, 4])
left.legend(frameon=False, fontsize=8)
right.plot(path, color="#0072B2", label="ascent on soft ranks")
right.axhline(float(icg.sorting.spearman(X @ least_squares, y, 0.0)), color="#D55E00", ls="--", label="least squares")
right.set(xlabel="step", ylabel="Spearman's correlation")
right.legend(frameon=False, fontsize=8)
plt.show()

exact = 1 + (np.asarray(grid)[:, None] > np.asarray(others)).sum(1)
far = np.abs(np.asarray(grid)[:, None] - np.asarray(others)).min(1) > 0.3
assert np.allclose(curves[0.3][far], exact[far])
assert len(slopes.vertices) == 2 and slopes.exhaustive
assert path[-1] > 0.99 and angle(w) < 5 < angle(least_squares)
