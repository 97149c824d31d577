r"""
A shock, differentiated in its initial state
============================================

Burgers' equation :math:`u_t + (u^2/2)_x = 0` steepens a wave until it breaks into a shock. An upwind finite-volume
scheme with Godunov's flux is an ordinary differential equation with kinks: ``max`` and ``relu`` decide where the wind
blows from. ``icg.flow`` locates the times at which a cell changes its mind, and steps onto them.

**Guaranteed** is the derivative of this scheme, on this grid: exact for the numerical solution, in both modes.
**Not guaranteed** is what it says of the equation itself. Where the solution is smooth it converges. On a shock the
derivative of the solution is a measure, not a function, and numbers such as :math:`du_i/du^0_j` for a cell in it grow
without bound as the grid is refined. Averages are tame: for :math:`J = \int \varphi(x)\, u(T, x)\, dx` the gradient
in :math:`u^0(x)` is :math:`\varphi` where the characteristic from :math:`x` arrives, and for all characteristics that
run into the shock it is :math:`\varphi` at the shock: a plateau, which the scheme finds up to its own smearing.
"""

import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

n, T, drift = 100, 0.35, 0.2
x = (jnp.arange(n) + 0.5) / n
u0 = drift + jnp.sin(2 * jnp.pi * x)
weight = jnp.exp(-((x - 0.65) ** 2) / 0.02)


def upwind(t, u, args):
    """The scheme, periodic in space; Godunov's flux takes the stronger of two winds."""
    left, right = u, jnp.roll(u, -1)
    flux = jnp.maximum(jax.nn.relu(left) ** 2, jax.nn.relu(-right) ** 2) / 2
    return n * (jnp.roll(flux, 1) - flux)


@jax.jit
@functools.partial(jax.value_and_grad, has_aux=True)
def average(u0):
    """The weighted average at the end, and the flow."""
    flow = icg.flow.solve(upwind, u0, None, (0.0, T), max_steps=64, max_crossings=16)
    return (weight * flow.value[-1]).sum() / n, flow


(value, solution), gradient = average(u0)
print(f"{int(solution.steps)} steps, {int(solution.record.crossings)} kinks crossed")

# %%
# The derivative is that of the scheme: differences agree. And it is that of the equation, by characteristics, but for
# the cells whose characteristics are about to meet the shock.

direction = jnp.cos(2 * jnp.pi * x)
difference = (average(u0 + 1e-5 * direction)[0][0] - average(u0 - 1e-5 * direction)[0][0]) / 2e-5
print(f"slope {float(gradient @ direction):.8f}, by differences {float(difference):.8f}")

arrives = np.asarray(x + T * u0)
shock = 0.5 + drift * T
swallowed = (arrives - shock) * (np.asarray(x) - 0.5) <= 0
exact = np.exp(-((np.where(swallowed, shock, arrives) - 0.65) ** 2) / 0.02)

figure, (before, after) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
before.plot(x, u0, color="0.6", label="$u(0, x)$")
before.plot(x, solution.value[-1], color="#0072B2", label=f"$u({T}, x)$")
before.fill_between(x, 0, weight, color="#E69F00", alpha=0.25, lw=0, label=r"$\varphi$")
before.set(xlabel="x", title="a wave that broke")
before.legend(frameon=False, fontsize=8)
after.plot(x, exact, color="0.6", lw=4, label="by characteristics")
after.plot(x, n * gradient, color="#D55E00", label="through the scheme")
after.axvspan(*np.asarray(x)[np.flatnonzero(swallowed)[[0, -1]]], color="0.93", zorder=0)
after.set(xlabel="x", title=r"gradient of $\int \varphi\, u(T)$ in $u(0, x)$")
after.legend(frameon=False, fontsize=8)
plt.show()

error = np.abs(n * gradient - exact)
assert abs(gradient @ direction - difference) < 1e-7
assert error.mean() < 0.06 and error[40:60].max() < 0.06  # first order in the width of a cell, and on the plateau
