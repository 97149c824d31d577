"""Only `implicitcg/base` may touch the private parts of JAX and Equinox: they change without notice.

Reads every module of the package and complains about imports of, and attribute paths through, the names below.
(import-linter cannot do it: it knows foreign packages by their first name only.)
"""

import ast
import sys
from pathlib import Path

PRIVATE = (
    "equinox.internal",
    "jax._src",
    "jax.core",
    "jax.extend",
    "jax.lib",
    "jaxlib",
)
PACKAGE = Path(__file__).resolve().parent.parent / "implicitcg"
HOME = PACKAGE / "base"


def is_private(name: str) -> bool:
    return any(name == private or name.startswith(private + ".") for private in PRIVATE)


def dotted(node: ast.expr) -> str | None:
    """`a.b.c` as text when the expression is nothing but names and dots."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return None if head is None else f"{head}.{node.attr}"
    return None


def violations(tree: ast.Module) -> list[tuple[int, str]]:
    found, aliases = [], {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                aliases[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
                if is_private(alias.name):
                    found.append((node.lineno, alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                aliases[alias.asname or alias.name] = full
                if is_private(full):
                    found.append((node.lineno, full))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (path := dotted(node)):
            head, _, tail = path.partition(".")
            full = f"{aliases.get(head, head)}.{tail}"
            if full in PRIVATE:  # the shortest private prefix is a node of its own: one report a use
                found.append((node.lineno, full))
    return sorted(set(found))


def main() -> int:
    wrong = [
        f"{path.relative_to(PACKAGE.parent)}:{line}: {name} may be used in implicitcg/base only"
        for path in sorted(PACKAGE.rglob("*.py"))
        if HOME not in path.parents
        for line, name in violations(ast.parse(path.read_text(), str(path)))
    ]
    print("\n".join(wrong) if wrong else "Private parts of JAX and Equinox: used in implicitcg/base only.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
