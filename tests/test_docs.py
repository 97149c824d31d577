"""What the manual shows is what happens: its Python runs, its outputs are true, the docstrings' examples as well."""

import doctest
import importlib
import json
import math
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import implicitcg

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```$(?:\s*^```text\n(?P<output>.*?)^```$)?", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if BLOCK.search(page.read_text())]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(implicitcg.__path__, "implicitcg.")
    if module.name != "implicitcg.__main__"  # importing it runs the command
]

# One process a page, as a reader would run it: JAX's defaults, and the blocks share their names.
RUNNER = """
import contextlib, io, json, sys
names, outputs = {"__name__": "__main__"}, []
for line, code in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile("\\n" * line + code, sys.argv[1], "exec"), names)
    outputs.append(printed.getvalue())
json.dump(outputs, sys.stdout)
"""


def same(shown: str, printed: str) -> bool:
    """The same words, and numbers that agree to the digits shown: six of them, since machines differ in the last."""
    if "".join(NUMBER.sub("#", shown).split()) != "".join(NUMBER.sub("#", printed).split()):
        return False  # white space aside: NumPy pads numbers to the longest
    numbers = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=1e-6, abs_tol=1e-9) for a, b in numbers)


class Checker(doctest.OutputChecker):
    def check_output(self, want, got, optionflags):
        return same(want, got) or super().check_output(want, got, optionflags)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs_and_prints_what_is_shown(page):
    text = page.read_text()
    blocks = list(BLOCK.finditer(text))
    sent = json.dumps([(text[: block.start("code")].count("\n"), block["code"]) for block in blocks])
    command = [sys.executable, "-c", RUNNER, str(page)]
    run = subprocess.run(command, input=sent, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    for block, printed in zip(blocks, json.loads(run.stdout), strict=True):
        shown = block["output"]
        assert shown is None or same(shown, printed), f"{page.name} shows\n{shown}\nand the code prints\n{printed}"


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_print_what_they_say(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.startswith("implicitcg"):
            raise
        pytest.skip(f"an optional dependency is missing: {error.name}")
    runner = doctest.DocTestRunner(Checker(), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    report = []
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for example in doctest.DocTestFinder().find(module):
            runner.run(example, out=report.append)
    assert runner.failures == 0, "".join(report)
