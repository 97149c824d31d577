r"""
A controller that is tuned by its own mistakes
==============================================

A cart is pushed to a target by a model-predictive controller: at every step it plans :math:`N` forces by a quadratic
program and applies the first,

.. math:: \min_u \sum_k x_k^\top Q x_k + r u_k^2
          \quad\text{subject to}\quad x_{k+1} = A x_k + B u_k,\; |u_k| \le 1,\; \text{speed} \ge -v .

Its model of the cart is wrong: it knows nothing of friction and believes in a lighter cart. The weights :math:`Q`,
the price of force and the model :math:`A, B` are learned together, by the derivative of what happens in closed loop:
through 30 programs in a row, each with constraints that come and go.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

horizon, steps, dt, slow = 6, 30, 0.2, 0.6
real_A, real_B = jnp.array([[1.0, dt], [0.0, 1 - 0.3 * dt]]), jnp.array([0.5 * dt**2, dt]) / 1.5
start = jnp.array([2.0, 0.0])


def plan(theta, x):
    """The first force of the plan from the state `x`: a program in the forces alone, states eliminated."""
    A, B = theta["A"], theta["B"]
    powers = [jnp.eye(2)]
    for _ in range(horizon):
        powers.append(A @ powers[-1])
    free = jnp.stack([power @ x for power in powers[1:]])  # without force
    zero = jnp.zeros(2)
    rows = [[powers[k - j] @ B if j <= k else zero for j in range(horizon)] for k in range(horizon)]
    response = jnp.array(rows).transpose(0, 2, 1)  # (step, state, force)
    weight = jnp.exp(theta["log_weights"])
    P = 2 * jnp.einsum("ksi,s,ksj->ij", response, weight[:2], response) + 2 * weight[2] * jnp.eye(horizon)
    q = 2 * jnp.einsum("ksi,s,ks->i", response, weight[:2], free)
    bounds = jnp.eye(horizon)
    G = jnp.concatenate([bounds, -bounds, -response[:3, 1]])  # the speed of the next steps, as predicted
    h = jnp.concatenate([jnp.ones(2 * horizon), slow + free[:3, 1]])
    solution = icg.solve(icg.qp(P, q, G=G, h=h), throw=False)
    return solution.value[0], solution.converged


def closed_loop(theta):
    """States, forces, and whether every program was solved."""

    def step(x, _):
        u, solved = plan(theta, x)
        after = real_A @ x + real_B * u
        return after, (after, u, solved)

    return jax.lax.scan(step, start, None, length=steps)[1]


def cost(theta):
    """What we care about: being at the target and still, little force, and never too fast."""
    x, u, _ = closed_loop(theta)
    excess = jnp.maximum(-slow - x[:, 1], 0)
    return jnp.sum(x[:, 0] ** 2 + 0.1 * x[:, 1] ** 2 + 0.05 * u**2 + 100 * excess**2) * dt


guess = {"A": jnp.array([[1.0, dt], [0.0, 1.0]]), "B": jnp.array([0.5 * dt**2, dt]), "log_weights": jnp.zeros(3)}
value_and_slope = jax.jit(jax.value_and_grad(cost))
loop = jax.jit(closed_loop)

# %%
# The derivative is that of the closed loop, exact where no constraint is on its kink: compare with a difference.

loss, slope = value_and_slope(guess)
direction = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(1.0, leaf.size + 1)).reshape(leaf.shape), guess)
ends = [value_and_slope(jax.tree.map(lambda t, d, s=s: t + s * 1e-6 * d, guess, direction))[0] for s in (1, -1)]
along = sum(float(jnp.vdot(slope[name], direction[name])) for name in guess)
difference = float(ends[0] - ends[1]) / 2e-6
print(f"slope of the closed loop {along:.6f}, difference {difference:.6f}")

theta, descent = guess, optax.adam(0.03)
state, history = descent.init(theta), []
for _ in range(50):
    loss, slope = value_and_slope(theta)
    history.append(float(loss))
    change, state = descent.update(slope, state)
    theta = optax.apply_updates(theta, change)
print(f"cost of the closed loop: {history[0]:.3f} with the wrong model, {min(history):.3f} after tuning")

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
time = dt * np.arange(1, steps + 1)
for name, parameters, colour in (("wrong model", guess, "0.6"), ("tuned", theta, "C0")):
    x, u, solved = loop(parameters)
    assert bool(solved.all())
    left.plot(time, x[:, 1], color=colour, label=name)
    right.step(time, u, where="pre", color=colour, label=name)
left.axhline(-slow, color="C3", lw=1, ls="--")
left.text(time[-1], -slow, "limit", color="C3", ha="right", va="bottom", fontsize=8)
left.set(xlabel="time", ylabel="speed", title="the cart in closed loop")
left.legend(frameon=False)
right.set(xlabel="time", ylabel="force", title="forces, between -1 and 1")

assert abs(along - difference) < 1e-5 * abs(difference)
assert min(history) < 0.97 * history[0]
