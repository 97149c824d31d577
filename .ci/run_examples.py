"""Run every examples/plot_*.py in a process of its own; stop the build when one fails or never ends.

python .ci/run_examples.py [PART OF A NAME]
"""

import subprocess
import sys
import time
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
LIMIT = 300  # seconds: the slowest is meant to take a tenth of this on two cores


def main() -> int:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    scripts = [path for path in sorted(EXAMPLES.glob("plot_*.py")) if wanted in path.name]
    if not scripts:
        print(f"No example matches {wanted!r}." if wanted else "There is no example yet.")
        return bool(wanted)
    failed = []
    for script in scripts:
        begin = time.perf_counter()
        try:
            code = subprocess.run([sys.executable, script], timeout=LIMIT, stdin=subprocess.DEVNULL).returncode
        except subprocess.TimeoutExpired:
            code = f"no end after {LIMIT} s"
        print(f"{script.name}: {'ok' if code == 0 else code} ({time.perf_counter() - begin:.1f} s)", flush=True)
        if code != 0:
            failed.append(script.name)
    print(f"{len(scripts) - len(failed)} of {len(scripts)} examples ran to their end.")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
