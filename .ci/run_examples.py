"""Run every examples/plot_*.py in a process of its own, two at a time; stop the build when one fails or never ends.

python .ci/run_examples.py [PART OF A NAME]
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
LIMIT = 300  # seconds: the slowest is meant to take a tenth of this on two cores
AT_ONCE = 2  # each mostly compiles, on one core


def run(script: Path) -> tuple[str, bool]:
    """What the script printed, under a line with its name, outcome and time; whether it ended well."""
    begin = time.perf_counter()
    command = [sys.executable, script]
    try:
        done = subprocess.run(
            command, timeout=LIMIT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        printed, outcome = done.stdout, "ok" if done.returncode == 0 else f"FAILED with {done.returncode}"
    except subprocess.TimeoutExpired as late:
        printed, outcome = late.stdout or b"", f"FAILED: no end after {LIMIT} s"
    line = f"{script.name}: {outcome} ({time.perf_counter() - begin:.1f} s)"
    return f"{line}\n{printed.decode(errors='replace')}", outcome == "ok"


def main() -> int:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    scripts = [path for path in sorted(EXAMPLES.glob("plot_*.py")) if wanted in path.name]
    if not scripts:
        print(f"No example matches {wanted!r}." if wanted else "There is no example yet.")
        return bool(wanted)
    passed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for future in as_completed([pool.submit(run, script) for script in scripts]):
            text, well = future.result()
            passed += well
            print(text, flush=True)
    print(f"{passed} of {len(scripts)} examples ran to their end.")
    return passed < len(scripts)


if __name__ == "__main__":
    sys.exit(main())
