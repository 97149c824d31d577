"""
Iterates that converge, derivatives that do not
===============================================

Heavy ball on a function with curvature 1 to the right of its minimum and 1/4 to the left, ``alpha = 1`` and ``beta =
3/4``, converges to the minimum ``t`` from everywhere. The derivative of its iterates by ``t`` is a product of two
matrices, one for each side, both with spectral radius below 1. But they contract in no common norm: the product of
twice the first and twice the second grows by an eighth. At the minimum, where the iterates sit on the kink, each step
may choose, and along that choice the derivative of the iterates diverges while the iterates do not move.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)


def heavy_ball(state, t, tie=0.0):
    """One step; ``tie`` is the branch that its derivative takes on the kink."""
    x, before = state
    slope = icg.nonsmooth.maximum(x - t, (x - t) / 4, tie=tie)
    return x - slope + 0.75 * (x - before), x


def gradient_step(x, t):
    """The same without momentum."""
    return x - icg.nonsmooth.maximum(x - t, (x - t) / 4)


@jax.jit
def iterates(t, start, ties):
    """The distances from the minimum and the derivatives of all iterates by ``t``."""

    def through(t):
        def advance(state, tie):
            new = heavy_ball(state, t, tie)
            return new, new[0]

        return jax.lax.scan(advance, (start, start), ties)[1]

    return through(t) - t, jax.jacfwd(through)(t)


STEPS = 400
cycle = jnp.tile(jnp.array([1.0, 1.0, 0.0, 0.0]), STEPS // 4)
T = jnp.asarray(0.3)
away, smooth = iterates(T, jnp.asarray(2.3), cycle)
resting, wild = iterates(T, T, cycle)
print("from 2.3 the last iterate is off by", away[-1], "and its derivative is", smooth[-1])
print("from the minimum no iterate is off by more than", jnp.abs(resting).max(), "and the derivative is", wild[-1])

# %%
# ``icg.unroll`` looks at all elements at the point before it differentiates iterates, and refuses. Without momentum the
# same function is certified; and the equation of the limit needs no iterates at all.

print(icg.unroll.contraction(heavy_ball, (T, T), T))
print(icg.unroll.contraction(gradient_step, T, T))
try:
    icg.unroll.derivative(heavy_ball, (T, T), T, steps=STEPS)
    refused = False
except ValueError as error:
    refused = "momentum" in str(error)
slope = float(jax.grad(lambda t: icg.solve(icg.fixed_point(gradient_step, t)).value)(T))
print("derivative of the limit:", slope)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), sharex=True, layout="constrained")
left.semilogy(np.maximum(np.abs(away), 1e-17), color="#0072B2", label="from 2.3")
left.semilogy(np.maximum(np.abs(resting), 1e-17), color="#D55E00", label="from the minimum")
left.set(xlabel="step", ylabel="distance of the iterate")
left.legend(frameon=False)
for derivative, colour in ((smooth, "#0072B2"), (wild, "#D55E00")):
    largest = np.abs(derivative - 1).reshape(-1, 4).max(1)  # of each four steps
    right.semilogy(range(0, STEPS, 4), np.maximum(largest, 1e-17), color=colour)
right.set(xlabel="step", ylabel="error of its derivative")
plt.show()

assert jnp.abs(away[-1]) < 1e-10 and jnp.abs(smooth[-1] - 1) < 1e-8
assert jnp.abs(resting).max() < 1e-15 and jnp.abs(wild).max() > 1e4
assert refused and slope == 1.0
