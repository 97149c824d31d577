"""Flows of nonsmooth fields: exact formulas, differences, other methods, sets at contacts, jumps, refusals."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg
from implicitcg.flow.pieces import BranchReading
from implicitcg.nonsmooth import closing

diffrax = pytest.importorskip("diffrax")
Event = icg.flow.Event


def solve(*arguments, max_steps=16, **options):
    """`icg.flow.solve` with room for few steps, which compiles faster."""
    return icg.flow.solve(*arguments, max_steps=max_steps, **options)


def gated(t, y, args):
    """`x' = 1, y' = relu(x) y`."""
    return jnp.stack([jnp.ones_like(t), jax.nn.relu(y[0]) * y[1]])


def absolute(t, x, args):
    return jnp.abs(x)


def fall(t, y, args):
    return y[1], -args["g"]


def bounce(t, y, args):
    return jnp.zeros_like(y[0]), -args["e"] * y[1]


GROUND = Event(lambda t, y, args: y[0], bounce, direction=-1)


def differences(function, x, h=1e-5):
    """Central differences in every entry of a vector: errors of order h^2 and eps/h, about 1e-10."""
    rows = [(function(x.at[i].add(h)) - function(x.at[i].add(-h))) / (2 * h) for i in range(x.size)]
    return jnp.stack(rows, -1)


def in_both_modes(function, x, direction, cotangents):
    """Value, pushforward, pullbacks, and these along `direction` (forward over reverse): one flow in the program."""

    def pulled(x):
        value, pull = jax.vjp(function, x)
        return value, jax.vmap(lambda v: pull(v)[0])(cotangents)

    (value, reverse), (forward, second) = jax.jvp(pulled, (x,), (direction,))
    return value, forward, reverse, second


def test_the_exact_example_holds_in_both_modes_twice_and_in_a_batch():
    def end(y0):
        return solve(gated, y0, None, (0.0, 2.0), rtol=1e-9, max_steps=64).value[-1]

    @jax.jit
    @jax.vmap
    def everything(y0):
        return in_both_modes(end, y0, jnp.array([1.0, 0.0]), jnp.array([[0.0, 1.0]]))

    starts = jnp.array([[-1.0, 1.0], [-3.0, 2.0], [0.5, 1.0]])
    value, forward, reverse, second = everything(starts)
    x, y = starts[:, 0], starts[:, 1]
    positive, before = jnp.maximum(x + 2, 0), jnp.maximum(x, 0)
    growth = jnp.exp((positive**2 - before**2) / 2)
    slope = growth * y * (positive - before)
    bend = growth * y * ((positive - before) ** 2 + jnp.where(positive > 0, 1.0, 0.0) - jnp.where(before > 0, 1.0, 0.0))
    # rtol 1e-9 a step, ten to twenty steps whose errors the flow amplifies at most 12 times
    np.testing.assert_allclose(value[:, 1], growth * y, rtol=3e-7)
    np.testing.assert_allclose(reverse[:, 0], jnp.stack([slope, growth], -1), rtol=3e-7, atol=1e-12)
    np.testing.assert_allclose(forward[:, 1], reverse[:, 0, 0], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(second[:, 0], jnp.stack([bend, slope / y], -1), rtol=3e-6, atol=1e-12)
    assert value[0, 1] == pytest.approx(np.exp(0.5), rel=1e-8)


def test_a_derivative_across_a_kink_is_as_accurate_as_the_solution_and_diffrax_is_not():
    def ours(y0):
        return solve(gated, y0, None, (0.0, 2.0)).value[-1][1]

    def theirs(y0):
        options = {"stepsize_controller": diffrax.PIDController(rtol=1e-6, atol=1e-9), "max_steps": 64}
        options["adjoint"] = diffrax.ForwardMode()  # the same numbers as checkpointing: benchmarks/flow.py
        term, method = diffrax.ODETerm(gated), diffrax.Tsit5()
        return diffrax.diffeqsolve(term, method, 0.0, 2.0, None, y0, **options).ys[-1, 1]

    y0, truth = jnp.array([-1.0, 1.0]), np.exp(0.5)
    direction = jnp.array([1.0, 0.0])
    value, slope = jax.jit(lambda y0: jax.jvp(ours, (y0,), (direction,)))(y0)
    assert abs(value - truth) < 2e-6 and abs(slope - truth) < 1e-5
    value, slope = jax.jit(lambda y0: jax.jvp(theirs, (y0,), (direction,)))(y0)
    assert abs(value - truth) < 1e-3 and abs(slope - truth) > 1e-3


def test_a_relu_network_as_a_field_matches_differences_in_weights_start_and_times():
    random = np.random.default_rng(0)
    W, V = (jnp.asarray(random.standard_normal(s)) for s in ((6, 3), (3, 6)))
    b = jnp.asarray(0.5 * random.standard_normal(6))
    sizes = np.cumsum([2, 1, 18, 6])

    def run(x, rtol=1e-10):
        pair, third, w, b, T = jnp.split(x, sizes)
        w = w.reshape(6, 3)

        def field(t, y, args):  # closes over the weights w
            joined = jnp.concatenate([y["pair"], y["third"]])
            dy = V @ jnp.maximum(w @ joined + args, 0) / 4 - joined * jnp.cos(t)
            return {"pair": dy[:2], "third": dy[2:]}

        ts = jnp.concatenate([jnp.zeros(1), T / 3, T])
        flow = solve(field, {"pair": pair, "third": third}, b, ts, rtol=rtol, atol=1e-12, max_steps=256)
        return jnp.concatenate([flow.value["pair"][1], flow.value["third"][2]]), flow.record.crossings

    y0 = jnp.asarray(random.standard_normal(3))
    x = jnp.concatenate([y0, W.ravel(), b, jnp.array([2.0])])
    direction = jnp.asarray(random.standard_normal(x.size))

    @jax.jit
    def both(x):
        value, push, crossings = jax.linearize(run, x, has_aux=True)
        pull = jax.linear_transpose(push, x)
        return value, crossings, push(direction), jax.vmap(lambda v: pull(v)[0])(jnp.eye(value.size))

    _, crossings, forward, reverse = both(x)
    assert crossings >= 3
    np.testing.assert_allclose(reverse @ direction, forward, atol=1e-11)
    numeric = differences(lambda x: both(x)[0], x)
    np.testing.assert_allclose(reverse, numeric, atol=2e-7)


def test_an_implicit_method_gives_the_same_derivative():
    def slope(method):
        end = jax.value_and_grad(
            lambda x: solve(gated, jnp.stack([x, 1.0]), None, (0.0, 2.0), solver=method, max_steps=64).value[-1, 1]
        )
        return jnp.stack(jax.jit(end)(-1.0))

    np.testing.assert_allclose(slope(diffrax.Kvaerno3()), np.exp(0.5), rtol=2e-5)


def test_contact_with_a_kink_gives_the_whole_set_and_no_certificate():
    def end(x0):
        return solve(absolute, x0, None, (0.0, 1.0), sensitivity=True).value[-1]

    found = icg.conservative_jacobian(end, 0.0)
    np.testing.assert_allclose(np.sort(found.vertices), [np.exp(-1), np.exp(1)], atol=1e-6)
    assert found.exhaustive and found.contains(1.0) and not found.contains(3.0)
    on, off = (icg.flow.certify(solve(absolute, x0, None, (0.0, 1.0), sensitivity=True)) for x0 in (0.0, -1.0))
    assert on.verdict == "unknown" and on.contacts[0][0] == "abs" and "test_flow.py" in on.contacts[0][1]
    assert off.verdict == "certified" and off.margin == pytest.approx(np.exp(-1), rel=1e-2)


def test_a_bouncing_ball_has_the_derivatives_of_its_formula():
    def state(p):
        flow = solve(fall, (p[0], p[1]), {"g": p[2], "e": p[3]}, (0.0, 2.0), events=[GROUND], rtol=1e-9)
        return jnp.concatenate([jnp.stack([y[-1] for y in flow.value]), flow.event_times()[:3]])

    def formula(p):
        h, v, g, e = p
        first = (v + jnp.sqrt(v * v + 2 * g * h)) / g
        speed = e * jnp.sqrt(v * v + 2 * g * h)
        second = first + 2 * speed / g
        third = second + 2 * e * speed / g
        left = 2.0 - third
        up = e * e * speed
        return jnp.stack([up * left - g * left**2 / 2, up - g * left, first, second, third])

    p = jnp.array([1.0, 0.3, 9.81, 0.8])
    direction = jnp.array([0.3, -1.0, 0.5, 0.2])

    value, forward, reverse, second = jax.jit(lambda p: in_both_modes(state, p, direction, jnp.eye(5)))(p)
    exact, bend = jax.jvp(jax.jacobian(formula), (p,), (direction,))
    # free fall is quadratic: the method is exact, and the bounces are located to rounding
    np.testing.assert_allclose(value, formula(p), atol=1e-12)
    np.testing.assert_allclose(reverse, exact, atol=1e-11)
    np.testing.assert_allclose(forward, reverse @ direction, atol=1e-11)
    np.testing.assert_allclose(second, bend, atol=1e-9)


def test_a_switch_is_refused_unless_declared_and_then_has_its_saltation():
    def field(t, x, a):
        return jnp.where(x > 0, 0.5, a)

    def end(x, a, **options):
        return solve(field, x, a, (0.0, 1.0), **options).value[-1]

    def exact(x, a):
        return 0.5 * (1 + x / a)

    with pytest.raises(icg.SolveError, match="jumps") as caught:
        end(-1.0, 2.0)
    assert caught.value.status == icg.Status.discontinuous
    declared = jax.value_and_grad(lambda x, a: end(x, a, events=Event(lambda t, x, a: x)), (0, 1))
    value, slopes = jax.jit(declared)(-1.0, 2.0)
    np.testing.assert_allclose(value, exact(-1.0, 2.0), atol=1e-12)
    np.testing.assert_allclose(slopes, jax.grad(exact, (0, 1))(-1.0, 2.0), atol=1e-12)
    flow = solve(field, -1.0, 2.0, (0.0, 1.0), allow_jumps=True)
    np.testing.assert_allclose(flow.value[-1], exact(-1.0, 2.0), atol=1e-12)
    assert icg.flow.certify(flow).verdict == "certified"
    assert "test_flow.py" in str(flow) and flow.crossings[0][0] == pytest.approx(0.5)


def test_dry_friction_stops_with_its_sensitivity_and_sliding_is_refused():
    def field(t, y, mu):
        return y[1], -mu * jnp.sign(y[1])

    rest = Event(lambda t, y, mu: y[1], lambda t, y, mu: (y[0], jnp.zeros_like(y[1])), terminal=True)

    def stop(v, mu):
        flow = solve(field, (0.0, v), mu, (0.0, 3.0, 9.0), events=[rest])
        found = jnp.stack([flow.value[0][1], flow.value[0][2], flow.event_times()[0]])
        return found, found

    slopes, value = jax.jit(jax.jacrev(stop, (0, 1), has_aux=True))(2.0, 0.5)
    np.testing.assert_allclose(value, [3.75, 4.0, 4.0], atol=1e-12)  # v t - mu t^2/2; v^2/(2 mu); v/mu
    np.testing.assert_allclose(slopes[0], [3.0, 4.0, 2.0], atol=1e-11)
    np.testing.assert_allclose(slopes[1], [-4.5, -8.0, -8.0], atol=1e-11)
    with pytest.raises(icg.SolveError) as caught:
        solve(field, (0.0, 2.0), 0.5, (0.0, 9.0), allow_jumps=True)
    assert caught.value.status == icg.Status.sliding


def test_bounces_that_accumulate_and_steps_that_do_not_end_have_a_status():
    args = {"g": 9.81, "e": 0.5}
    flow = solve(fall, (1.0, 0.0), args, (0.0, 1.0, 5.0), events=[GROUND], max_crossings=12, max_steps=64, throw=False)
    assert flow.status == icg.Status.too_many_crossings and not flow.converged
    assert np.isfinite(flow.value[0][1]) and np.isnan(flow.value[0][2])
    assert icg.flow.certify(flow).verdict == "unknown"
    # the limit of the bounce times is t_1 (1 + e)/(1 - e)
    times = np.asarray(flow.event_times())
    assert times[-1] < 3 * times[0] < times[-1] + 1e-3

    def square(t, x, args):
        return x * x

    for options, status in (({"max_steps": 3}, "too_many_steps"), ({"max_steps": 1024}, "step_vanished")):
        flow = jax.jit(lambda x, o=options: solve(square, x, None, (0.0, 2.0), throw=False, **o))(1.0)
        assert flow.status == getattr(icg.Status, status)
    flow = solve(square, jnp.nan, None, (0.0, 2.0), throw=False)
    assert flow.status == icg.Status.non_finite_input
    flow = jax.jit(lambda T: solve(square, 0.1, None, (0.0, T), throw=False))(-1.0)
    assert flow.status == icg.Status.times_not_increasing


def test_wrong_input_is_told_by_name(monkeypatch):
    cases = [
        ("ts is [0. 0.]", (absolute, 1.0, None, (0.0, 0.0))),
        ("shape (1,)", (absolute, 1.0, None, (0.0,))),
        ("write numbers as floats", (absolute, jnp.arange(3), None, (0.0, 1.0))),
        ("the field maps a state of shapes", (lambda t, y, a: y[:1], jnp.ones(2), None, (0.0, 1.0))),
        ("must be a function", (1.0, 1.0, None, (0.0, 1.0))),
        ("y0 holds no array", (absolute, {}, None, (0.0, 1.0))),
    ]
    for text, arguments in cases:
        with pytest.raises(
            (TypeError, ValueError), match="(?i)" + text.replace("(", r"\(").replace(")", r"\)").replace("[", r"\[")
        ):
            solve(*arguments)
    cases = [
        ("rtol is -1", {"rtol": -1.0}),
        ("max_steps is 0", {"max_steps": 0}),
        ("solver of diffrax", {"solver": "Tsit5"}),
        ("cannot adapt", {"solver": diffrax.Euler()}),
        ("Event", {"events": [absolute]}),
        ("one number is needed", {"events": Event(lambda t, y, a: jnp.ones(2))}),
        ("the reset maps", {"events": Event(lambda t, y, a: y, lambda t, y, a: jnp.ones(2))}),
    ]
    for text, options in cases:
        with pytest.raises((TypeError, ValueError), match=text):
            solve(absolute, 1.0, None, (0.0, 1.0), **options)
    monkeypatch.setitem(sys.modules, "diffrax", None)
    with pytest.raises(ImportError, match=r"implicitcg\[flow\]"):
        solve(lambda t, x, a: x, 1.0, None, (0.0, 1.0))


def test_values_between_the_nodes_are_as_accurate_as_at_them_and_differentiable_in_time():
    flow = jax.jit(lambda: solve(gated, jnp.array([-1.0, 1.0]), None, (0.0, 2.0), rtol=1e-8, max_steps=64))()
    t = jnp.linspace(0.0, 2.0, 7)
    value, rate = jax.jit(jax.vmap(jax.value_and_grad(lambda t: flow.evaluate(t)[1])))(t)
    exact = np.exp(np.maximum(t - 1, 0) ** 2 / 2)
    np.testing.assert_allclose(value, exact, atol=1e-7)
    np.testing.assert_allclose(rate, np.maximum(t - 1, 0) * exact, atol=1e-5)  # one order less
    assert np.isnan(flow.evaluate(2.1)).all() and np.isnan(flow.evaluate(-0.1)).all()
    assert flow.evaluate(jnp.zeros((2, 3))).shape == (2, 3, 2)


def test_the_gradient_of_a_layer_in_single_precision_matches_double_precision():
    class Field(eqx.Module):
        inner: jax.Array
        outer: jax.Array

        def __call__(self, t, y, args):
            return self.outer @ jax.nn.relu(self.inner @ y)

    random = np.random.default_rng(1)
    weights = [random.standard_normal((5, 2)), random.standard_normal((2, 5)) / 2]
    batch = random.standard_normal((3, 2))

    def loss(layer, points):
        return (jax.vmap(layer)(points) ** 2).sum()

    def layer(weights, dtype):
        field = Field(*[jnp.asarray(w, dtype) for w in weights])
        return icg.flow.NeuralODE(field, max_steps=16), jnp.asarray(batch, dtype)

    single = eqx.filter_jit(eqx.filter_grad(loss))(*layer(weights, jnp.float32)).field
    assert single.inner.dtype == jnp.float32
    direction = [random.standard_normal(w.shape) for w in weights]
    along = eqx.filter_jit(lambda s: loss(*layer([w + s * d for w, d in zip(weights, direction, strict=True)], float)))
    slope = float(jax.jit(jax.jacfwd(along))(0.0))
    found = sum((np.asarray(g, float) * d).sum() for g, d in zip((single.inner, single.outer), direction, strict=True))
    assert found == pytest.approx(slope, rel=5e-3)  # rtol 1e-4 in float32, by a handful of steps


def read(function, x, branches=None):
    """Values, kinks and the reading of a function of one array that moves."""
    closed = closing.close(function, (x,), {})
    reading = BranchReading(branches)
    values, _ = reading.run(
        closed.program, closed.arguments, [m >= closed.closed_over for m in range(len(closed.arguments))]
    )
    return values[0], reading.kinks, reading


PROGRAMS = {
    "max": lambda x: jnp.maximum(x, 0.3 * x[::-1] + 0.1).sum(),
    "min": lambda x: jnp.minimum(x, 0.2).sum(),
    "abs": lambda x: (jnp.abs(x) * jnp.arange(1.0, 5.0)).sum(),
    "clip": lambda x: jnp.clip(2 * x, -0.5, 0.5).sum(),
    "relu": lambda x: jax.nn.relu(x).sum(),
    "leaky": lambda x: icg.nonsmooth.leaky_relu(x).sum(),
    "where": lambda x: jnp.where((x > 0.1) & (x[0] <= 0.5), x - 0.1, 0.0).sum(),
    "norm": lambda x: jnp.abs(x).max() + jnp.min(x),
    "steps": lambda x: (jnp.floor(3 * x) + jnp.round(2 * x) + jnp.ceil(x) + jnp.sign(x)).sum(),
    "mod": lambda x: (x % 0.7).sum(),
    "scan": lambda x: jax.lax.scan(lambda c, w: (jax.nn.relu(w * c) - 0.5 * c, None), x, jnp.array([1.0, -2.0]))[
        0
    ].sum(),
    "cond": lambda x: jax.lax.cond(x[0] > 0, lambda x: jnp.abs(x).sum(), lambda x: 2 * jax.nn.relu(x).sum(), x),
    "soft": lambda x: icg.prox.l1(x, 0.3).sum(),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_held_branches_continue_the_program_and_margins_tell_where_it_leaves_them(name):
    function = PROGRAMS[name]
    random = np.random.default_rng(2)
    here, there = (jnp.asarray(random.uniform(-1, 1, 4)) for _ in range(2))
    points = jax.vmap(lambda s: here + s * (there - here))(jnp.linspace(0, 1, 61))

    @jax.jit
    @jax.vmap
    def step(x, following):
        value, own, reading = read(function, x)
        assert not reading.unlocated
        _, then, _ = read(function, following)
        kept, held, _ = read(function, following, [kink.branch for kink in own])
        same = jnp.stack([(a.branch == b.branch).all() for a, b in zip(own, then, strict=True)]).all()
        least = [jnp.stack([kink.margin.min() for kink in kinks]).min() for kinks in (own, held)]
        return value, function(x), kept, function(following), same, *least

    value, exact, kept, following, same, own, held = step(points[:-1], points[1:])
    np.testing.assert_allclose(value, exact, rtol=1e-12)
    assert (own >= 0).all()  # a point lies in its own branches
    assert ((held >= 0) | ~same).all() and ((held < 0) | same | (kept == following)).all()
    np.testing.assert_allclose(kept[held >= 0], following[held >= 0], rtol=1e-12)  # and the branches hold as far
    assert (~same).any()


def test_smooth_functions_with_branches_inside_have_no_kink_and_some_kinks_are_only_named():
    for function in (jax.nn.softplus, jax.nn.silu, jax.nn.softmax, jnp.tanh):
        _, kinks, reading = read(lambda x, f=function: f(x).sum(), jnp.array([-1.0, 2.0]))
        assert not kinks and not reading.unlocated
    _, kinks, reading = read(lambda x: jnp.sort(x)[0], jnp.array([-1.0, 2.0]))
    assert not kinks and "sort" in reading.unlocated[0]


def test_a_jump_that_moves_the_operands_of_another_kink_takes_it_along():
    def wave(t, x, args):  # the remainder jumps at t = 1 and so does the comparison
        return jnp.where(t % 1 < 0.5, 1.0, -2.0)

    flow = solve(wave, 0.0, None, (0.0, 0.5, 1.0, 1.5, 2.0), allow_jumps=True)
    np.testing.assert_allclose(flow.value, [0.0, 0.5, -0.5, 0.0, -1.0], atol=1e-12)


def test_certificates_refuse_grazing_unseen_kinks_and_jumps_at_once():
    def forced(t, y, args):  # x = (t - 1)^2 touches zero, and its kink, at t = 1
        return jnp.stack([2 * (t - 1), jnp.abs(y[0])])

    grazing = icg.flow.certify(solve(forced, jnp.array([1.0, 0.0]), None, (0.0, 2.0)))
    assert grazing.verdict == "unknown" and "tangentially" in grazing.reason
    unseen = icg.flow.certify(solve(lambda t, y, a: jnp.sort(y) - y, jnp.array([1.0, 0.0]), None, (0.0, 1.0)))
    assert unseen.verdict == "unknown" and "not located" in unseen.reason

    def corner(t, y, args):
        return jnp.where((y[0] > 0) & (y[1] > 0), 2.0, 1.0) * jnp.ones(2)

    both = solve(corner, jnp.array([-1.0, -1.0]), None, (0.0, 2.0), allow_jumps=True)
    assert icg.flow.certify(both).verdict == "unknown" and "at once" in icg.flow.certify(both).reason
    np.testing.assert_allclose(both.value[-1], [2.0, 2.0], atol=1e-12)
