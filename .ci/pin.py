"""Write constraints.txt anew: the newest releases that fit together, for each Python that we support.

    python .ci/pin.py PYTHON3.11 PYTHON3.12 PYTHON3.13

Asks each interpreter's pip what it would install for implicitcg[all] and the build backend, and merges the answers:
one line a release, with a marker where the Pythons differ. Names and versions only: no index, no host, no hash.
"""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
# What CI installs. Written by `.ci/pin.py`; used by `make` through `pip install --constraint`.
# Names, versions and markers only: where they are fetched from is up to the machine.
"""


def resolve(python: str) -> tuple[str, dict[str, str]]:
    """The interpreter's version and the releases its pip chooses."""
    version = subprocess.check_output(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True
    ).strip()
    command = [python, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    report = subprocess.check_output([*command, f"{ROOT}[all]", "hatchling"], text=True)
    chosen = {
        item["metadata"]["name"].lower().replace("_", "-").replace(".", "-"): item["metadata"]["version"]
        for item in json.loads(report)["install"]
    }
    del chosen["implicitcg"]
    return version, chosen


def lines(resolved: dict[str, dict[str, str]]) -> list[str]:
    """One constraint a release; a marker names the Pythons when a release is not for all of them."""
    pythons = defaultdict(list)
    for python, chosen in resolved.items():
        for name, version in chosen.items():
            pythons[name, version].append(python)
    written = []
    for (name, version), having in sorted(pythons.items()):
        marker = " or ".join(f'python_version == "{python}"' for python in having)
        written.append(f"{name}=={version}" + ("" if len(having) == len(resolved) else f" ; {marker}"))
    return written


def main() -> None:
    resolved = dict(resolve(python) for python in sys.argv[1:])
    (ROOT / "constraints.txt").write_text(HEAD + "\n".join(lines(resolved)) + "\n")


if __name__ == "__main__":
    main()
