"""Between two examples of the gallery, which share one process."""

import jax


def reset_jax(_gallery, _script):
    """Each example starts from JAX's defaults."""
    jax.config.update("jax_enable_x64", False)
