"""`kinks` sees every nonsmooth primitive, wherever it hides, and says truly what JAX picks there."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from implicitcg.nonsmooth import kinks, relu

# what, at which point, name in the report, what JAX picks there, JAX's derivative: THEORY's table of tie rules
TIE_RULES = {
    "nn.relu": (jax.nn.relu, "relu", 0.0, 0.0),
    "nn.relu6": (jax.nn.relu6, "relu6", 0.0, 0.0),
    "where(x > 0, x, 0)": (lambda x: jnp.where(x > 0, x, 0.0), "where >", 0.0, 0.0),
    "where(x >= 0, x, 0)": (lambda x: jnp.where(x >= 0, x, 0.0), "where >=", 1.0, 1.0),
    "maximum(x, 0)": (lambda x: jnp.maximum(x, 0.0), "max", 0.5, 0.5),
    "minimum(x, 0)": (lambda x: jnp.minimum(x, 0.0), "min", 0.5, 0.5),
    "clip(x, 0, 1)": (lambda x: jnp.clip(x, 0.0, 1.0), "max", 0.5, 0.5),
    "lax.clamp(0, x, 1)": (lambda x: lax.clamp(0.0, x, 1.0), "clamp", 0.0, 0.0),
    "abs": (jnp.abs, "abs", 1.0, 1.0),
    "leaky_relu": (jax.nn.leaky_relu, "where >=", 1.0, 1.0),
    "elu": (lambda x: jax.nn.elu(x, 0.5), "where >", 0.0, 0.5),
    "mask (x > 0) * x": (lambda x: (x > 0).astype(x.dtype) * x, "where >", 0.0, 0.0),
    "sqrt(x * x)": (lambda x: jnp.sqrt(x * x), "sqrt of a square", jnp.nan, jnp.nan),
    "linalg.norm": (lambda x: jnp.linalg.norm(x * jnp.ones(2)), "norm", jnp.nan, jnp.nan),
    "std": (lambda x: jnp.std(x * jnp.arange(3.0)), "norm", jnp.nan, jnp.nan),
    "sqrt": (jnp.sqrt, "sqrt", jnp.inf, jnp.inf),
    "max of two": (lambda x: jnp.max(jnp.stack([x, -x])), "reduce_max", 0.5, 0.0),
    "pooling": (lambda x: pool(jnp.stack([x, -x]))[0], "reduce_window_max", 1.0, 1.0),
}


def pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (2,), (1,), "VALID")


@pytest.mark.parametrize("case", TIE_RULES)
def test_the_table_of_tie_rules_is_what_jax_does(case):
    function, name, picked, derivative = TIE_RULES[case]
    report = kinks(function, 0.0)
    on_kink = [i for i in range(len(report.names)) if report.entries[i]]
    assert {report.names[i] for i in on_kink} == {name}
    assert jnp.array_equal(report.picks[on_kink[0]], picked, equal_nan=True)
    # the same number is JAX's own derivative, so the report speaks of JAX and not of this library
    assert jnp.array_equal(jax.grad(function)(0.0), derivative, equal_nan=True)
    assert kinks(function, 0.3).count == 0


def three(x):
    return jnp.stack([x, x, x + 1])


ORDERS = {
    "sort": lambda x: jnp.sort(three(x))[0],
    "top_k": lambda x: lax.top_k(-three(x), 1)[0][0],
    "median": lambda x: jnp.median(jnp.stack([x, x, x])),
    "argmin of what is gathered": lambda x: three(x)[jnp.argmin(three(x))],
    "argsort of what is gathered": lambda x: three(x)[jnp.argsort(three(x))][0],
    "cumulative maximum": lambda x: lax.cummax(jnp.stack([x, x]))[1],
    "minimum over an axis": lambda x: three(x).min(),
    "eigh": lambda x: jnp.linalg.eigh(x * jnp.eye(2))[1][0, 0],
}


@pytest.mark.parametrize("case", ORDERS)
def test_ties_of_candidates_are_found(case):
    assert kinks(ORDERS[case], 0.0).count > 0


@pytest.mark.parametrize("function", [jnp.floor, jnp.ceil, jnp.sign, lambda x: jnp.round(x + 0.5)])
def test_steps_are_reported_as_jumps(function):
    report = kinks(lambda x: x * function(x), 0.0)
    assert report.kinds == ("jump",) and report.count == 1


def test_branches_that_do_not_meet_are_a_jump_and_those_that_meet_a_kink():
    assert kinks(lambda x: jnp.where(x > 0, x + 1, x), 0.0).kinds[1:] == ("jump",)
    report = kinks(lambda x: jnp.where(x > 0, x + 1, x), 0.0)
    assert report.entries.tolist() == [0, 1]


def test_guards_that_are_no_kinks_are_not_reported():
    assert kinks(lambda x: jnp.where(x == 0, 1.0, jnp.sin(x) / jnp.where(x == 0, 1.0, x)), 0.0).count == 0
    assert kinks(jax.nn.logsumexp, jnp.zeros(3)).count == 0  # the maximum inside is under stop_gradient
    mask = jnp.zeros(3)
    assert kinks(lambda x: jnp.where(mask > 0, x, 2 * x), jnp.ones(3)).count == 0  # constants do not move


def helper(x):
    return jnp.abs(x)


@jax.custom_vjp
def with_reverse_rule(x):
    return jnp.abs(x)


with_reverse_rule.defvjp(lambda x: (jnp.abs(x), x), lambda x, ct: (ct * jnp.sign(x),))


@jax.custom_jvp
def with_forward_rule(x):
    return jnp.abs(x)


with_forward_rule.defjvps(lambda t, _, x: t * jnp.where(x > 0, 1.0, -1.0))

PLACES = {
    "jit": lambda x: jax.jit(helper)(x),
    "vmap": lambda x: jax.vmap(helper)(x * jnp.ones(1))[0],
    "scan": lambda x: lax.scan(lambda c, _: (helper(c), None), x, None, length=1)[0],
    "while_loop": lambda x: lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, helper(c[1])), (0, x))[1],
    "cond": lambda x: lax.cond(x < 1, helper, lambda x: x, x),
    "switch": lambda x: lax.switch(1, [lambda x: x, helper, lambda x: x], x),
    "remat": lambda x: jax.checkpoint(helper)(x),
    "custom_jvp": with_forward_rule,
    "custom_vjp": with_reverse_rule,
    "a piece of the library": relu,
    "nested": lambda x: lax.scan(lambda c, _: (jax.jit(jax.checkpoint(helper))(c), None), x, None, length=1)[0],
}


@pytest.mark.parametrize("place", PLACES)
def test_kinks_are_found_inside(place):
    report = kinks(PLACES[place], 0.0)
    assert report.count == 1
    assert report.margin == 0
    assert kinks(PLACES[place], 0.5, tol=0.1).count == 0


def test_a_comparison_that_feeds_cond_is_a_kink():
    report = kinks(lambda x: lax.cond(x > 0, lambda: 2 * x, lambda: x), 0.0)
    assert report.names == ("where >",) and report.count == 1


def test_every_step_of_a_scan_counts():
    running = lambda x: lax.scan(lambda c, a: (jnp.maximum(c, a), None), x[0], x)[0]  # noqa: E731
    assert kinks(running, jnp.array([1.0, 1.0, 0.0])).count == 2


def test_the_report_names_the_line_of_the_user():
    report = kinks(PLACES["jit"], 0.0)
    assert report.places[0].split(":")[0].endswith("test_nonsmooth_kinks.py")
    assert "(helper)" in report.places[0]
    table = str(report)
    assert "abs" in table and "test_nonsmooth_kinks.py" in table and "1 entries on a kink" in table
    assert "No entry is on a kink" in str(kinks(PLACES["jit"], 1.0))


def test_tol_is_in_the_units_of_the_kinks_argument():
    function = lambda x: jnp.abs(x).sum()  # noqa: E731
    x = jnp.array([1e-3, -1e-6, 1.0])
    assert [int(kinks(function, x, tol=tol).count) for tol in (0.0, 1e-5, 1e-2)] == [0, 1, 2]
    assert float(kinks(function, x).margin) == 1e-6


def test_a_report_passes_jit_and_vmap():
    report = jax.jit(lambda x: kinks(jax.nn.relu, x))(jnp.zeros(3))
    assert report.names == ("relu",) and report.count == 3
    batch = jax.vmap(lambda x: kinks(jax.nn.relu, x))(jnp.array([[0.0, 0.0], [0.0, 1.0]]))
    assert batch.count.tolist() == [2, 1]
    assert "relu" in str(batch)


def test_programs_without_derivative_have_no_kinks():
    assert kinks(lambda n: n + 1, 1).count == 0
    assert kinks(jnp.exp, 0.0).margin == jnp.inf
