"""
A gradient method that computes the weather
===========================================

The equation ``relu(s - x) - relu(x - s) = 0`` has the solution ``s = x``, whose derivative is 1. With ``relu'(0) =
0`` both of its partial derivatives vanish there; the system is singular, and its least-squares answer says that ``s``
does not depend on ``x``. An outer loss that is differentiated with this answer can be led anywhere: here the loss is
a convex quadratic of ``x``, with its minimum at 0, and the steps follow Lorenz's butterfly, which never settles.

This is a *reconstruction*: the literature reports chaotic gradient steps for a singular inner problem; the equation
is its example, the loss that makes Lorenz's equations of it is ours.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)
STEP = 0.01


def lorenz(s):
    """The vector field of Lorenz, at his parameters."""
    return jnp.stack([10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]])


def inner(x):
    """An equation for ``s = x`` that hides it in two kinks."""
    return icg.root(lambda s, x: jax.nn.relu(s - x) - jax.nn.relu(x - s), x)


def loss(x, s):
    """At ``s = x`` it is ``20 |x|^2 - <x, lorenz(x)>``, a convex quadratic: the cubic terms of Lorenz cancel."""
    return 20 * s @ s - x @ lorenz(s)


# %%
# The library refuses. Asked for a derivative it raises, and the certificate says why.

start = jnp.array([1.0, 1.0, 20.0])
certificate = icg.certify(inner(start), icg.solve(inner(start)))
print(certificate)
try:
    jax.grad(lambda x: loss(x, icg.solve(inner(x)).value))(start)
    refused = False
except icg.SolveError as error:
    refused = True
    print(error)

# %%
# The least-squares answer has to be asked for by name. It is what a pseudo-inverse or a small ridge in the backward
# pass would give without a word.


def total(x):
    """The loss through the layer, with the answer that carries no guarantee."""
    return loss(x, icg.solve(inner(x), adjoint=icg.adjoints.MinimumNorm()).value)


def right(x):
    """The same loss with the solution written down."""
    return loss(x, x)


def steps(function, x, count=4000):
    """Gradient steps."""

    def advance(x, _):
        new = x - STEP * jax.grad(function)(x)
        return new, new

    return jax.lax.scan(advance, x, None, length=count)[1]


twins = jnp.stack([start, start + jnp.array([1e-6, 0.0, 0.0])])
wrong, twin = np.asarray(jax.jit(jax.vmap(lambda x: steps(total, x)))(twins))
good = np.asarray(steps(right, start, 400))
apart = np.linalg.norm(wrong - twin, axis=1)
curvature = np.linalg.eigvalsh(jax.hessian(right)(jnp.ones(3)))
print("curvatures of the true loss:", curvature.round(2))
print(
    "right derivative ends at", good[-1].round(6), "; the wrong one wanders between", wrong.min(0), "and", wrong.max(0)
)

figure = plt.figure(figsize=(8, 3.4), layout="constrained")
space = figure.add_subplot(1, 2, 1, projection="3d")
space.plot(*wrong.T, color="#D55E00", lw=0.4)
space.plot(*good.T, "o-", color="#0072B2", ms=2)
space.set_title("gradient steps: pseudo-inverse (red), right (blue)", fontsize=8)
plane = figure.add_subplot(1, 2, 2)
plane.semilogy(apart, color="#D55E00")
plane.set(xlabel="gradient step", ylabel="distance of two runs,\n1e-6 apart at the start")
plt.show()

assert certificate.verdict == "singular" and refused
assert curvature.min() > 0 and np.abs(good[-1]).max() < 1e-6
assert apart[:100].max() < 1e-3 and apart[2500:].max() > 10  # they part by a factor of a million and more
assert np.abs(wrong).max() < 60 and wrong[2000:].std(0).min() > 5  # bounded, and never at rest
