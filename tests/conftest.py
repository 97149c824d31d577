"""What every test runs under: float64, strict promotion, no silent broadcasting, warnings as errors."""

import itertools
import os
from importlib.metadata import version
from pathlib import Path

import jax
import pytest

# Compiling is most of what the suite does, once a program: cheap compilation costs 3.4 times less than the default on
# jaxlib 0.10 (71 s of CPU time against 21 for the laws of one LASSO), 1.7 times without the first flag, which later
# versions no longer know. CI compiles the examples as cheaply, and the smoke test as users do. Tests in processes
# inherit both.
legacy = "--xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else ""
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {legacy} --xla_cpu_parallel_codegen_split_count=1".strip()
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
jax.config.update("jax_disable_most_optimizations", True)

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Every compiled program takes a few memory maps, of which Linux allows a process 65530: beyond them XLA's compiler
# dies of a segmentation fault. A worker that runs half of the suite comes that far unless it forgets programs.
MAPS = 30_000


ended = itertools.count(1)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown():
    """Forget compiled programs before they are too many. Counting many takes 40 ms: every tenth test does it."""
    maps = Path("/proc/self/maps")
    if next(ended) % 10 == 0 and maps.exists() and maps.read_bytes().count(b"\n") > MAPS:
        jax.clear_caches()


def pytest_collection_modifyitems(items):
    """The laws of one row of a table stand side by side: one worker runs them, and compiles their functions once.

    The pages of the manual come first: a page takes so long that a worker which began one last would keep all waiting.
    """
    ranks = {}

    def rank(item):
        row = getattr(getattr(item, "callspec", None), "params", {}).get("case")
        name = getattr(row, "name", None)
        page = item.path.name == "test_docs.py"
        return not page, ranks.setdefault(item.path, len(ranks)), ranks.setdefault((item.path, name), len(ranks))

    items.sort(key=rank)


@pytest.fixture
def fails_with():
    """Run a function that must fail, and check that its message, wherever JAX wraps it, holds the text given."""

    def check(text, function, *args):
        with pytest.raises(Exception) as caught:
            jax.block_until_ready(function(*args))
        assert text in str(caught.value)

    return check
