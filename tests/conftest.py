"""What every test runs under: float64, strict promotion, no silent broadcasting, warnings as errors."""

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def fails_with():
    """Run a function that must fail, and check that its message, wherever JAX wraps it, holds the text given."""

    def check(text, function, *args):
        with pytest.raises(Exception) as caught:
            jax.block_until_ready(function(*args))
        assert text in str(caught.value)

    return check
