"""
A critical point that is not there
==================================

The function is ``(x - 1)^2``, and its only critical point is 1. The program adds two times nothing to it: ``relu(-x)
- relu(x) + x``. At ``x = 0`` automatic differentiation with ``relu'(0) = 0`` takes the slope of nothing for 1, so the
derivative of the program is ``-2 + 2 = 0`` there: a spurious critical point. Gradient descent from -1 with step 1/4
lands exactly on it and stays for ever; with step 0.3 it passes by. It is a point of measure zero, but a step size
chosen by hand and a round starting point can hit one.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)


def program(x):
    """The square of x - 1."""
    nothing = jax.nn.relu(-x) - jax.nn.relu(x) + x
    return (x - 1) ** 2 + 2 * nothing


@jax.jit
def descent(start, step):
    """Twenty gradient steps."""

    def advance(x, _):
        new = x - step * jax.grad(program)(x)
        return new, new

    return jnp.concatenate([start[None], jax.lax.scan(advance, start, None, length=20)[1]])


START = jnp.asarray(-1.0)
met, missed = descent(START, 0.25), descent(START, 0.3)
print("step 1/4 ends at", met[-1], " step 0.3 ends at", missed[-1].round(6))

# %%
# The point is told from a true one by its directions. The set of all elements at 0 holds zero, as it must, since
# reverse mode returned it. The derivative along a direction takes the branches that the direction enters, and is that
# of the function: downhill to the right.

print(icg.kinks(program, 0.0))
elements = icg.conservative_jacobian(program, 0.0)
ahead = float(jax.grad(icg.nonsmooth.with_ties(program, direction=1.0))(0.0))
print("elements:", sorted(elements.vertices.tolist()), " derivative along +1:", ahead)

# %%
# How unlikely is it? Of ten thousand steps drawn from [0.05, 0.45] none meets the point, which is what the theory says:
# for almost every step and start, descent with any selection ends where the function has a critical point.

steps = jnp.asarray(np.random.default_rng(0).uniform(0.05, 0.45, 10_000))
ends = jax.jit(jax.vmap(lambda step: descent(START, step)[-1]))(steps)
stuck = int((jnp.abs(ends) < 1e-9).sum())
print("stuck:", stuck)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
grid = jnp.linspace(-1.2, 2, 200)
left.plot(grid, jax.vmap(program)(grid), color="0.6")
for path, label, colour in ((met, "step 1/4", "#D55E00"), (missed, "step 0.3", "#0072B2")):
    left.plot(path, jax.vmap(program)(path), "o-", color=colour, label=label, ms=4)
    right.plot(path, "o-", color=colour, label=label, ms=4)
left.set(xlabel="x", ylabel="the function")
left.legend(frameon=False)
right.axhline(0, color="0.8", lw=1)
right.set(xlabel="step", ylabel="x")
plt.show()

assert met[1] == 0 and met[-1] == 0
assert abs(missed[-1] - 1) < 1e-6
assert sorted(elements.vertices.tolist()) == [-4.0, -2.0, 0.0] and ahead == -2.0
assert stuck == 0
