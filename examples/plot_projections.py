"""
Projections on one page
=======================

Every set of ``icg.projections`` that has a picture in the plane: points, and where they go. The colours count how many
directions stay free: the rank of the derivative, which is 2 inside, 1 where a face attracts, 0 where a corner does.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)
P = icg.projections

# %%
# In the plane a set is drawn by its own projection. Cones in three dimensions are cut: the exponential and the power
# cone at ``y = 1``, the semidefinite cone of order two as ``(S11, S12)`` with ``S22 = S11``; a cut of a projection is
# not one, so for those only the derivative is drawn.

ROOT = np.sqrt(2.0)
triangle = jnp.asarray([[-1.0, 0.3], [0.6, 1.0], [0.5, -1.0]]), jnp.asarray([0.6, 0.7, 0.6])
PLANE = {
    "simplex": lambda x: P.simplex(x, 1.2),
    "l1 ball": P.l1_ball,
    "l2 ball": P.l2_ball,
    "box": lambda x: P.box(x, -0.8, jnp.asarray([0.8, 0.5])),
    "halfspace": lambda x: P.halfspace(x, jnp.asarray([1.0, 2.0]), 0.5),
    "polyhedron": lambda x: P.polyhedron(x, G=triangle[0], h=triangle[1]),
    "box section": lambda x: P.box_section(x, -1.0, 1.0, jnp.asarray([1.0, 0.5]), 0.4),
    "second-order cone": P.second_order_cone,
}
CUTS = {
    "exponential cone": lambda x: P.exponential_cone(jnp.stack([x[0], jnp.ones_like(x[0]), x[1]])),
    "power cone, a = 0.3": lambda x: P.power_cone(jnp.stack([x[0], jnp.ones_like(x[0]), x[1]]), 0.3),
    "semidefinite cone": lambda x: P.psd_cone(jnp.stack([jnp.stack([x[0], x[1]]), jnp.stack([x[1], x[0]])])),
    "transport, 2 by 2": lambda x: P.birkhoff(jnp.stack([jnp.stack([x[0], x[1]]), jnp.zeros(2)])),
}

grid = np.linspace(-2, 2, 81)
plane = jnp.asarray(np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2))
arrows = jnp.asarray(np.random.default_rng(0).uniform(-2, 2, (40, 2)))


def freedom(function):
    """The sum of the eigenvalues of the derivative's square: how much of a small motion survives."""
    jacobians = jax.jit(jax.vmap(jax.jacfwd(function)))(plane)
    return np.square(np.asarray(jacobians)).reshape(len(plane), -1).sum(1).reshape(len(grid), -1)


figure, axes = plt.subplots(3, 4, figsize=(10, 7.6), layout="constrained", sharex=True, sharey=True)
for axis, (name, function) in zip(axes.flat, (PLANE | CUTS).items(), strict=True):
    shown = freedom(function)
    axis.pcolormesh(grid, grid, shown, cmap="Blues", vmin=0, vmax=3.2, rasterized=True)
    axis.set_title(name, fontsize=9)
    axis.set_aspect("equal")
    if name in PLANE:
        landed = np.asarray(jax.jit(jax.vmap(function))(arrows))
        for start, end in zip(np.asarray(arrows), landed, strict=True):
            axis.plot(*np.stack([start, end]).T, color="#D55E00", lw=0.6)
        axis.plot(*landed.T, ".", ms=3, color="#D55E00")
        assert np.allclose(jax.vmap(function)(jnp.asarray(landed)), landed, atol=1e-12)  # where they landed they stay
plt.show()

# %%
# On a seam between two colours the derivative is one of several. ``icg.conservative_jacobian`` lists them. Where an
# edge of the l1 ball takes over from its tip, they are the tip's, 0, and the edge's.

tip = jnp.asarray([2.0, 1.0])
found = icg.conservative_jacobian(P.l1_ball, tip)
print(found)

# %%
# The semidefinite cone is smooth where no eigenvalue is zero, also where they are equal: at the identity the
# derivative is the identity. Automatic differentiation of an eigendecomposition returns NaN there.


def by_eigenvalues(S):
    """The same map, written with the eigendecomposition of JAX."""
    values, vectors = jnp.linalg.eigh(S)
    return (vectors * jnp.maximum(values, 0)) @ vectors.T


direction = jnp.asarray([[1.0, 2.0], [2.0, -1.0]])
ours = jax.jvp(P.psd_cone, (jnp.eye(2),), (direction,))[1]
naive = jax.jvp(by_eigenvalues, (jnp.eye(2),), (direction,))[1]
print(ours, naive, sep="\n")

assert sorted(np.asarray(found.vertices).reshape(-1, 4).tolist()) == [[0, 0, 0, 0], [0.5, -0.5, -0.5, 0.5]]
assert np.allclose(ours, direction) and np.isnan(np.asarray(naive)).any()
