"""Random programs: sets hold every nearby derivative, directions are one-sided, selections are elements."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from implicitcg.nonsmooth import Seed, conservative_jacobian, kinks, with_ties

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

SIZE = 3
UNARY = {
    "abs": jnp.abs,
    "relu": jax.nn.relu,
    "negated": lambda x: -x,
    "sorted": jnp.sort,
    "clipped": lambda x: jnp.clip(x, -1.0, 1.0),
    "running maximum": lax.cummax,
    "less the median": lambda x: x - jnp.median(x),
    "selected": lambda x: jnp.where(x >= 0, 2 * x, -x),
    "masked": lambda x: x * (x > 1).astype(x.dtype) + jnp.minimum(x, 1.0) - (x > 1).astype(x.dtype),
    "gathered": lambda x: x - x[jnp.argmax(x)],
    "summed": jnp.cumsum,
}
BINARY = {
    "maximum": jnp.maximum,
    "minimum": jnp.minimum,
    "sum": jnp.add,
    "difference": jnp.subtract,
    "branch": lambda x, y: lax.cond(x[0] > y[0], lambda: x.at[0].set(x[0] - y[0]), lambda: x.at[0].set(0.0)),
}


@st.composite
def programs(draw, depth=3):
    """A function of three numbers, piecewise linear with small integer coefficients, and how it is spelled."""
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        shift = draw(st.integers(0, SIZE - 1))
        return (lambda x: jnp.roll(x, shift)), f"x{shift}"
    if draw(st.booleans()):
        name = draw(st.sampled_from(sorted(UNARY)))
        inner, text = draw(programs(depth=depth - 1))
        return (lambda x: UNARY[name](inner(x))), f"{name}({text})"
    name = draw(st.sampled_from(sorted(BINARY)))
    (left, a), (right, b) = draw(programs(depth=depth - 1)), draw(programs(depth=depth - 1))
    return (lambda x: BINARY[name](left(x), right(x))), f"{name}({a}, {b})"


points = st.lists(st.integers(-1, 1), min_size=SIZE, max_size=SIZE).map(lambda v: jnp.asarray(v, float))
few = hypothesis.settings(
    max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
)


@few
@hypothesis.given(programs(), points, st.integers(0, 100))
def test_the_hull_holds_every_derivative_nearby_and_every_selection(program, x, seed):
    function, _ = program
    found = conservative_jacobian(function, x, max_elements=512)
    if not found.exhaustive:
        return  # a sample proves nothing
    steps = 1e-4 * np.random.default_rng(seed).normal(size=(4, SIZE))
    for nearby in jax.jit(jax.vmap(jax.jacfwd(function)))(jnp.asarray(np.asarray(x) + steps)):
        assert found.contains(nearby)
    tied = [jax.jacfwd(with_ties(function, rule)) for rule in (0.0, 1.0, Seed(seed))]
    for chosen in jax.jit(lambda x: [derivative(x) for derivative in tied])(x):
        assert found.contains(chosen)
    assert found.contains(jax.jacfwd(function)(x))


@few
@hypothesis.given(programs(), points, st.integers(0, 100))
def test_the_derivative_along_a_direction_is_the_one_sided_one(program, x, seed):
    function, _ = program
    d = jnp.asarray(np.random.default_rng(seed).normal(size=SIZE))

    @jax.jit
    def compare(x, d):
        along = jax.jvp(with_ties(function, direction=d), (x,), (d,))[1]
        h = 2.0**-14  # piecewise linear with kinks at distances of order one: the quotient is exact to rounding
        return along, (function(x + h * d) - function(x)) / h

    along, quotient = compare(x, d)
    assert np.allclose(along, quotient, atol=1e-9)


@few
@hypothesis.given(programs(), points)
def test_a_program_without_kinks_at_a_point_has_one_jacobian(program, x):
    function, _ = program
    x = x + jnp.array([0.1, 0.23, 0.37])
    if kinks(function, x).count == 0:
        assert len(conservative_jacobian(function, x)) == 1
