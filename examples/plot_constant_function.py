"""
The derivative of a constant
============================

The program ``relu(-x) - relu(x) + x + 1/3`` computes the constant 1/3. Its derivative is 0 everywhere. At ``x = 0``
automatic differentiation says ``1 - 2 relu'(0)``: 1, 0 or -1, by the convention of whoever wrote ``relu``. None of
them is a bug: each is an element of a conservative Jacobian of the program, a set that contains the true derivative and
obeys the rules of calculus. This page shows the set, where it comes from, and how to get the directional derivative.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg
from implicitcg.nonsmooth import with_ties

jax.config.update("jax_enable_x64", True)


def constant(x):
    """One third."""
    return jax.nn.relu(-x) - jax.nn.relu(x) + x + 1 / 3


# %%
# JAX takes ``relu'(0) = 0``, and finds the slope 1. ``icg.kinks`` says where: two entries on a kink, on this line.

print("JAX:", jax.grad(constant)(0.0))
print(icg.kinks(constant, 0.0))

# %%
# The same program, spelled with other primitives, which have other conventions at zero.

SPELLINGS = {
    "nn.relu(x)": jax.nn.relu,
    "maximum(x, 0)": lambda x: jnp.maximum(x, 0.0),
    "where(x >= 0, x, 0)": lambda x: jnp.where(x >= 0, x, 0.0),
    "(x + |x|) / 2": lambda x: (x + jnp.abs(x)) / 2,
}
slopes = {
    name: float(jax.grad(lambda x, relu=relu: relu(-x) - relu(x) + x + 1 / 3)(0.0)) for name, relu in SPELLINGS.items()
}
print(slopes)

# %%
# All choices of branch at the two kinks give the autodiff set. Its hull holds zero, so the point is stationary in the
# sense that an algorithm can test, although JAX's gradient there is 1.

found = icg.conservative_jacobian(constant, 0.0)
print(found)
print("stationary:", found.is_stationary())

# %%
# A uniform convention does not help. A direction does: at each kink, the branch that the direction enters. The result
# is the true directional derivative, 0 both ways.

conventions = np.linspace(0, 1, 11)
uniform = [float(jax.grad(with_ties(constant, tie))(0.0)) for tie in conventions]
ahead, back = (float(jax.grad(with_ties(constant, direction=d))(0.0)) for d in (1.0, -1.0))
print("directional derivatives:", ahead, back)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
grid = np.linspace(-1, 1, 201)
left.plot(grid, jax.vmap(constant)(jnp.asarray(grid)), color="#0072B2", label="the program")
for slope in np.asarray(found.vertices):
    left.plot([-0.4, 0.4], [1 / 3 - 0.4 * slope, 1 / 3 + 0.4 * slope], color="#D55E00", lw=1)
left.plot([], [], color="#D55E00", lw=1, label="its derivatives at 0, by convention")
left.set(xlabel="x", ylim=(-0.2, 0.9))
left.legend(frameon=False, fontsize=8)
right.plot(conventions, uniform, color="#D55E00", label="one convention for every kink")
for name, slope in slopes.items():
    right.plot((1 - slope) / 2, slope, "o", color="#D55E00")
    right.annotate(name, ((1 - slope) / 2, slope), xytext=(6, 4), textcoords="offset points", fontsize=7)
right.axhline(ahead, color="#0072B2", ls="--", label="the branch that a direction enters")
right.set(xlabel="relu'(0)", ylabel="derivative at 0", xlim=(-0.05, 1.35))
right.legend(frameon=False, fontsize=8)
plt.show()

assert sorted(found.vertices.tolist()) == [-1.0, 0.0, 1.0]
assert found.exhaustive and found.is_stationary()
assert ahead == back == 0.0
assert np.allclose(uniform, 1 - 2 * conventions)
