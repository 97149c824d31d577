"""Programs that are the same are compiled once, and only those."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from implicitcg.base.programs import LARGEST_CONSTANT, Shared


@pytest.fixture
def compiled(caplog):
    """How many programs a call compiles."""

    def count(function, *arguments):
        caplog.clear()
        with jax.log_compiles():
            result = function(*arguments)
        return result, sum("Finished XLA compilation" in record.message for record in caplog.records)

    return count


def shifted(shift):
    """A new function of the same name for every shift."""

    def function(x, y):
        return {"sum": x + shift, "product": x * y}

    return Shared(function)


def test_functions_made_anew_share_one_executable_and_read_their_data(compiled):
    x, y = jnp.array([1.0, 2.0]), jnp.array([3.0, 5.0])
    first, once = compiled(shifted(0.25), x, y)
    second, again = compiled(shifted(0.25), y, np.asarray(x))
    assert (once, again) == (1, 0)
    np.testing.assert_array_equal(first["sum"], [1.25, 2.25])
    np.testing.assert_array_equal(second["sum"], [3.25, 5.25])
    np.testing.assert_array_equal(second["product"], [3.0, 10.0])


def test_what_a_function_closes_over_is_read_anew(compiled):
    x = jnp.array([1.0, 2.0])
    for shift in (0.5, 0.75, jnp.array([1.0, -1.0]), np.array([1.0, -2.0])):
        found, count = compiled(shifted(shift), x, x)
        assert count == 1
        np.testing.assert_array_equal(found["sum"], x + shift)
    large = np.arange(LARGEST_CONSTANT + 1.0)
    found, _ = compiled(shifted(large), jnp.ones(1), jnp.ones(1))
    np.testing.assert_array_equal(found["sum"], large + 1)
    found, _ = compiled(shifted(2 * large), jnp.ones(1), jnp.ones(1))
    np.testing.assert_array_equal(found["sum"], 2 * large + 1)


def test_other_shapes_and_types_are_other_programs(compiled):
    program = shifted(0.125)
    for dtype in (jnp.float32, jnp.float64):
        for size in (3, 4):
            x = jnp.ones(size, dtype)
            found, count = compiled(program, x, x)
            assert count == 1 and found["sum"].dtype == dtype and found["sum"].shape == (size,)
            assert compiled(program, x, x)[1] == 0


def test_programs_that_call_back_to_the_host_are_not_shared():
    """Their text is the same, whatever is called."""
    x = jnp.array([1.0, 2.0])

    def calling(host):
        return Shared(lambda x: jax.pure_callback(host, x, x))

    np.testing.assert_array_equal(calling(lambda x: np.asarray(x) + 1)(x), x + 1)
    np.testing.assert_array_equal(calling(lambda x: np.asarray(x) - 1)(x), x - 1)
