"""The house is as its page says: floors, rooms, files of one idea, one name for one thing, no arrow that hides."""

import ast
import re
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "implicitcg"
FILES = sorted(PACKAGE.rglob("*.py"))
PAGE = (ROOT / "docs" / "architecture.md").read_text()
TREES = {path: ast.parse(path.read_text()) for path in FILES}

# Doors that look like another on purpose: the room in front of the name says which is meant.
TWICE = {
    "Anderson": "a method, for equations (icg.solvers) and for linear systems (icg.adjoints)",
    "Measured": "the same",
    "PeacemanRachford": "the same",
    "ContractiveDEQ": "icg.deq.flax mirrors icg.deq",
    "DEQ": "the same",
    "MonotoneDEQ": "the same",
    "certify": "icg.certify, and its forms for flows and layers",
    "solve": "icg.solve, and icg.flow.solve for what is no equation",
    "elastic_net": "the model, and icg.prox.elastic_net",
    "sort": "icg.nonsmooth.sort along an axis, and icg.sorting.sort of vectors",
    "path": "icg.path, and icg.plots.path that draws one",
    "kinks": "icg.kinks, and icg.plots.kinks",
    "Free": "a cone that CVXPY knows, and icg.tuning.Free, a parameter without bounds",
    "Thresholds": "one record a room",
    "THRESHOLDS": "the same",
}

# Rooms that are opened late, because what they need takes long to import or may be missing. The contract sees them.
LATE = {
    "cvxpy/canonical.py": "the class it opens is one of CVXPY's",
}


def relative(path):
    return str(path.relative_to(PACKAGE))


def public(tree):
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        else:
            names = [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []
        # a capital letter alone is a type variable, which belongs to its file
        yield from (name for name in names if not name.startswith("_") and len(name) > 1)


def test_the_floors_of_the_page_are_those_of_the_import_contract():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = config["tool"]["importlinter"]["contracts"]
    floors = [re.sub(r"[()]", "", floor) for floor in contract["layers"]]
    (told,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert told.strip().splitlines() == floors


def test_contributing_names_every_floor():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    block = text[text.index("## Floors") : text.index("## Laws")]
    told = set(re.findall(r"\w+", " ".join(line[:46] for line in block.splitlines() if line.startswith("    "))))
    (floors,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert set(re.findall(r"\w+", floors)) - {"__main__"} <= told


def test_every_room_has_its_line_on_the_page():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE, re.MULTILINE)
    told = {room for row in rows for room in re.findall(r"`(\w+)`", row)}
    assert rooms - {"__init__", "__main__"} <= told


def test_files_that_the_page_names_exist():
    for name in re.findall(r"`([\w/]+\.py)`", PAGE):
        assert (PACKAGE / name).exists() or (ROOT / name).exists(), name


def test_a_file_is_one_idea():
    assert not [relative(path) for path in FILES if len(path.read_text().splitlines()) > 300]


def test_no_arrow_is_hidden_from_the_import_contract():
    """No import of the package inside a function, none by a string; the door of the package may open rooms lazily."""
    hidden = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                inside = [inner for inner in ast.walk(node) if isinstance(inner, ast.ImportFrom)]
                own = [i for i in inside if i.level or (i.module or "").startswith("implicitcg")]
                own = [] if relative(path) in LATE else own
                hidden += [f"{relative(path)}:{i.lineno}" for i in own]
            named = isinstance(node, ast.Constant) and isinstance(node.value, str) and path.parent != PACKAGE
            if named and re.fullmatch(r"implicitcg(\.\w+)+", node.value):
                hidden.append(f"{relative(path)}:{node.lineno}")
    assert not hidden


def test_a_public_name_is_one_thing():
    places = defaultdict(set)
    for path, tree in TREES.items():
        for name in public(tree):
            places[name].add(relative(path))
    twice = {name: sorted(where) for name, where in places.items() if len(where) > 1 and name not in TWICE}
    assert not twice
    assert all(len(places[name]) > 1 for name in TWICE), "a reason without a case"


def test_what_a_solver_may_ask_of_a_problem_is_written_down():
    sources = "\n".join(path.read_text() for path in FILES)
    assert len(re.findall(r"\bproblem: Any", sources)) <= 5
    assert not re.search(r"hasattr\((self\.)?problem", sources)
