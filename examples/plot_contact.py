"""
A ball on a slope
=================

A ball is thrown over a slope, falls on it and slides down. The ground is a unilateral constraint, ``n . q <= 0``: it
pushes and never pulls. A backward Euler step of such a motion is one equation with a projection,

``q' = Pi(q + h v + h^2 a(v'))``, with ``v' = (q' - q) / h``,

the place where gravity and the drag of the air would take the ball, projected on the free side of the ground (Moreau's
sweeping process; no bounce). ``icg.fixed_point`` solves it, and derivatives pass through flight, impact and sliding.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

h, steps = 0.05, 40  # time step and number of steps
gravity, drag = jnp.asarray([0.0, -9.81]), 0.1
START, DIRECTION, ANGLE = jnp.asarray([0.0, 0.5]), jnp.asarray([0.8, 0.6]), 0.4


def ground(angle):
    """The normal that points into a ground that falls to the right."""
    return -jnp.stack([jnp.sin(angle), jnp.cos(angle)])


def next_place(place, before, velocity, angle):
    """The right-hand side of a step: the forces at the end of the step, then the ground."""
    ahead = (place - before) / h
    force = gravity - drag * icg.nonsmooth.norm(ahead) * ahead
    there = before + h * velocity + h**2 * force
    return there if angle is None else icg.projections.halfspace(there, ground(angle), 0.0)


def trajectory(speed, angle=ANGLE):
    """Positions and velocities of a ball thrown with a speed; without a ground if the angle is `None`."""

    def advance(state, _):
        place, velocity = state
        step = icg.fixed_point(lambda ahead: next_place(ahead, place, velocity, angle))
        ahead = icg.solve(step, init=place + h * velocity).value
        state = ahead, (ahead - place) / h
        return state, state

    return jax.lax.scan(advance, (START, speed * DIRECTION), None, length=steps)[1]


def final(speed, angle=ANGLE):
    """Where the ball is in the end."""
    return trajectory(speed, angle)[0][-1]


# %%
# The derivative of the final position in the speed and in the angle of the slope, against differences. The ball falls,
# stops dead across the slope, and slides: none of it needs a special case.

compiled, slope = jax.jit(final), jax.jit(jax.jacfwd(final, argnums=(0, 1)))
ends = (
    compiled(3.0 + 1e-6, ANGLE),
    compiled(3.0 - 1e-6, ANGLE),
    compiled(3.0, ANGLE + 1e-6),
    compiled(3.0, ANGLE - 1e-6),
)
differences = (ends[0] - ends[1]) / 2e-6, (ends[2] - ends[3]) / 2e-6
for name, exact, difference in zip(("speed", "angle"), slope(3.0, ANGLE), differences, strict=True):
    print(f"in the {name}: {np.round(exact, 6)}, by differences {np.round(difference, 6)}")
    assert np.allclose(exact, difference, atol=1e-6)

# %%
# Each step has a certificate. Here are one of the flight, one of the sliding, and the one in which the ball arrives:
# there is a speed at which it reaches the ground exactly at the end of a step, and presses with no force. That equation
# sits on its kink, where the derivative of the end jumps. Both elements, and all between them, are invertible.

normal = ground(ANGLE)
places, velocities = jax.jit(trajectory)(3.0)
touching = np.flatnonzero(np.abs(places @ normal) < 1e-12)
arrival = int(touching[0])
arriving = float(icg.solve(icg.root(lambda s: trajectory(s, None)[0][arrival] @ normal), init=3.0).value)
print(f"thrown at {arriving:.6f} the ball meets the ground exactly after {arrival + 1} steps")


def certificate(speed, k):
    """The certificate of step `k` of a throw."""
    places, velocities = jax.jit(trajectory)(speed)
    step = icg.fixed_point(next_place, places[k - 1], velocities[k - 1], jnp.asarray(ANGLE))
    return icg.certify(step, icg.solve(step, init=places[k]), tol=1e-12)


flying, sliding, meeting = certificate(3.0, 1), certificate(3.0, steps - 1), certificate(arriving, arrival)
for what, found in (("flying", flying), ("sliding", sliding), ("arriving", meeting)):
    print(f"{what}: {found}")

# %%
# Left, throws of several speeds. Right, how far the ball gets, and the derivative: it jumps a little wherever the ball
# arrives at the end of a step, as the scheme does, and is right between.

speeds = np.linspace(1.0, 6.0, 51)
far, slopes = jax.jit(jax.vmap(jax.value_and_grad(lambda s: final(s)[0])))(jnp.asarray(speeds))
sides = [float(slope(arriving + side * 1e-5, ANGLE)[0][0]) for side in (-1, 1)]

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.plot([-0.5, 9], [0.5 * np.tan(ANGLE), -9 * np.tan(ANGLE)], color="black", lw=2)
for speed, color in ((1.5, "#009E73"), (3.0, "#0072B2"), (6.0, "#D55E00")):
    path = np.concatenate([START[None], jax.jit(trajectory)(speed)[0]])
    left.plot(*path.T, ".-", ms=3, lw=0.8, color=color, label=f"speed {speed}")
left.set(xlabel="x", ylabel="y", aspect="equal")
left.legend(frameon=False, fontsize=8)
right.plot(speeds, slopes, ".-", ms=3, lw=0.8, color="#0072B2", label="derivative of the distance in the speed")
right.plot(speeds, np.gradient(np.asarray(far), speeds), color="#D55E00", lw=0.8, label="differences along the curve")
right.plot([arriving] * 2, sides, "o", color="#009E73", ms=4, label="both sides of an arrival")
right.set(xlabel="speed of the throw")
right.legend(frameon=False, fontsize=8)
plt.show()

assert len(touching) > steps // 4  # it slides
assert (flying.kinks, sliding.kinks, meeting.kinks) == (0, 0, 1)
assert flying.verdict == sliding.verdict == meeting.verdict == "certified"
assert abs(sides[0] - sides[1]) > 1e-3  # the derivative jumps there
