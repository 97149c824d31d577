"""
Gradient descent in a circle
============================

An inner problem picks ``s`` in a rectangle so as to make ``(a + b)(-3x + y + 2)`` large, and the outer one moves
``(x, y)`` towards it: ``min (x - s1)^2 + 4 (y - s2)^2``. The best ``s`` is the corner (3, 5) where ``-3x + y + 2`` is
positive and (0, 0) where it is negative. Away from that line the layer is constant, each of its derivatives is right,
and every step is one of steepest descent. Still the iterates end in a cycle: each corner pulls them across the line,
where the other one takes over. On the line the solution is not unique, the condition of the implicit function theorem
fails, and so does everything that follows from it.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

G = jnp.concatenate([jnp.eye(2), -jnp.eye(2)])
H = jnp.array([3.0, 5.0, 0.0, 0.0])
STEP = 0.01


def inner(u):
    """The inner problem as a linear program, which is a quadratic one without curvature."""
    return icg.qp(jnp.zeros((2, 2)), -jnp.ones(2) * (-3 * u[0] + u[1] + 2), G=G, h=H)


def loss(u):
    """The outer loss, through the layer."""
    s = icg.solve(inner(u)).value
    return (u[0] - s[0]) ** 2 + 4 * (u[1] - s[1]) ** 2


@jax.jit
def descent(u):
    """Where 1600 gradient steps lead."""

    def advance(u, _):
        new = u - STEP * jax.grad(loss)(u)
        return new, new

    return jax.lax.scan(advance, u, None, length=1600)[1]


path = np.asarray(descent(jnp.array([0.0, 0.0])))
cycle = path[1000:]
print("x in", cycle[:, 0].min().round(4), cycle[:, 0].max().round(4))
print("y in", cycle[:, 1].min().round(4), cycle[:, 1].max().round(4))

# %%
# The certificate is about one point. At a point of the cycle it is granted, and its margin says how far the next kink
# is: the multiplier of a bound, which is about to vanish. Asked about everything within reach of some steps, by
# ``tol``, it refuses.

near = path[1000 + np.abs(-3 * cycle[:, 0] + cycle[:, 1] + 2).argmin()]
solution = icg.solve(inner(near), throw=False)
here, around = icg.certify(inner(near), solution), icg.certify(inner(near), solution, tol=0.1)
print(here)
print(around)

# %%
# On the line itself there is no derivative to ask for: the solver says that its answer is one of many.

told = icg.solve(inner(jnp.array([1.0, 1.0])), throw=False)
print(icg.Status[told.status])

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
left.plot(path[:, 0], path[:, 1], color="0.8", lw=1)
left.plot(cycle[:, 0], cycle[:, 1], ".", color="#0072B2", ms=2, label="the cycle")
line = np.array([0.5, 2.5])
left.plot(line, 3 * line - 2, "--", color="#D55E00", label="not unique: refused")
left.set(xlabel="x", ylabel="y", ylim=(-0.5, 5.5))
left.legend(frameon=False, fontsize=8)
right.plot(path[:1000, 0], color="#0072B2", label="x")
right.plot(path[:1000, 1], color="#009E73", label="y")
right.set(xlabel="gradient step")
right.legend(frameon=False)
plt.show()

bounds = np.array([[0.6668, 2.3332], [0.0283, 4.9717]])
assert np.allclose([cycle.min(0), cycle.max(0)], bounds.T, atol=1e-4)
assert here.verdict == "certified" and around.verdict == "singular"
assert told.status == icg.Status.not_unique
