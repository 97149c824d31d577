"""
Aiming off the floor
====================

A ball is to fall into a basket after two bounces. At each bounce its velocity jumps, and so does the sensitivity of
all that follows to the throw: ``icg.flow.Event`` locates the bounces and applies the jump. Newton's method on the throw
then finds the basket in a few steps, which it would not if the derivative ignored that the *time* of a bounce depends
on the throw.
"""

import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

gravity, restitution, basket = 9.81, 0.8, jnp.array([3.0, 0.5])


def fall(t, y, args):
    """Position `x, h` and velocity `u, v`; thin air."""
    return jnp.stack([y[2], y[3], -0.1 * y[2], -gravity - 0.1 * y[3]])


def bounce(t, y, args):
    """The velocity after the floor."""
    return y * jnp.array([1.0, 0.0, 0.9, -restitution])  # a rough floor


floor = icg.flow.Event(lambda t, y, args: y[1], bounce, direction=-1)


@jax.jit
@functools.partial(jax.jacrev, has_aux=True)
def aim(throw):
    """How far the throw (a velocity and a duration) misses the basket at the top of its last arc; with derivative."""
    start = jnp.concatenate([jnp.array([0.0, 1.0]), throw[:2]])
    ts = throw[2] * jnp.linspace(0.0, 1.0, 100)
    flow = icg.flow.solve(fall, start, None, ts, events=floor, max_steps=16, max_crossings=4, rtol=1e-8)
    end = flow.value[-1]
    miss = jnp.stack([end[0] - basket[0], end[1] - basket[1], end[3]])
    return miss, (miss, flow)


throw, flights, misses = jnp.array([2.0, 1.4, 1.7]), [], []
for _ in range(6):
    slope, (miss, flow) = aim(throw)
    flights.append(flow)
    misses.append(float(jnp.linalg.norm(miss)))
    throw = throw - jnp.linalg.solve(slope, miss)
print([f"{m:.1e}" for m in misses])

# %%
# The first throw, the second and the last one, and the certificate of the last: all its crossings are transversal, so
# it has one derivative.

figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
for flow, colour in zip((flights[0], flights[1], flights[-1]), ("0.75", "#56B4E9", "#D55E00"), strict=True):
    axis.plot(flow.value[:, 0], flow.value[:, 1], color=colour)
axis.plot(*basket, marker="_", ms=24, mew=3, color="k")
axis.axhline(0, color="k", lw=0.8)
axis.set(xlabel="x", ylabel="height", title="two bounces into a basket: first, second and last throw")
plt.show()

certificate = icg.flow.certify(flights[-1])
print(flights[-1].event_times()[:2], certificate, sep="\n")

assert misses[-1] < 1e-9 and certificate.verdict == "certified" and int(flights[-1].record.crossings) == 2
