"""
The slope of a maximum
======================

The maximum over ``y`` of ``g(x, y) = -|x - y| + x^2 / 10`` is ``x^2 / 10``: the best ``y`` is ``x`` itself, and the
minimum over ``x`` is 0. The usual shortcut differentiates ``g`` in ``x`` at the best ``y`` and forgets that ``y``
moves, which is right where ``g`` is smooth. Here the best ``y`` always sits on the kink, the shortcut says ``-1 + x /
5`` wherever it is asked, and descent with it goes to 5. The ridge method takes a ``v`` such that ``(v, 0)`` is *one*
element of the conservative gradient of ``g``, zero included: that is ``x / 5``.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)


def g(x, y):
    """Its maximum over y is x^2 / 10."""
    return -jnp.abs(x - y) + x**2 / 10


method = icg.optim.ridge_method(g, inner=lambda x: x)
shortcut = jax.jit(jax.grad(g))
steps = icg.optim.vanishing_steps(2.0)

naive, ridge = [4.0], [4.0]
for k in range(60):
    naive.append(naive[-1] - float(steps(k)) * float(shortcut(naive[-1], naive[-1])))
    ridge.append(ridge[-1] - float(steps(k)) * float(method(ridge[-1])[1]))
print("the shortcut ends at", round(naive[-1], 3), "and the ridge method at", round(ridge[-1], 3))

# %%
# The elements of ``g`` at one point of the ridge: two vertices, each with its own slope in ``y``. Only their mean has
# none.

elements = icg.conservative_jacobian(lambda both: g(both[0], both[1]), jnp.array([3.0, 3.0]))
print(elements.vertices)
print(icg.optim.ridge_element(g, 3.0, 3.0))

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
grid = np.linspace(-1, 6, 141)
values = np.asarray(g(grid[:, None], grid[None, :]))
left.contour(grid, grid, values.T, 20, cmap="cividis", linewidths=0.7)
left.plot(grid, grid, color="0.5", lw=1)
left.plot(naive, naive, "o", color="#D55E00", ms=3)
left.plot(ridge, ridge, "o", color="#0072B2", ms=3)
left.set(xlabel="x", ylabel="y", aspect="equal")
right.plot(naive, color="#D55E00", label="partial derivative")
right.plot(ridge, color="#0072B2", label="ridge method")
right.axhline(5, color="#D55E00", lw=0.7, ls=":")
right.axhline(0, color="#0072B2", lw=0.7, ls=":")
right.set(xlabel="step", ylabel="x")
right.legend(frameon=False)
plt.show()

assert abs(naive[-1] - 5) < 0.01 and abs(ridge[-1]) < 0.02
