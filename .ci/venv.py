"""Make `.venv` ready for groups of optional dependencies; do nothing, fast, where it is ready already.

    python .ci/venv.py EXTRA... [--exact] [--which]

EXTRA is a group of pyproject.toml (plots, dev, docs, bench, all); several are installed at once, which takes less time
than one after the other. What is installed comes from pyproject.toml, pinned by constraints.txt. A group is done when
`.venv/.ready/EXTRA` holds the digest of both files, so an edit to either installs again. An installation that was
interrupted leaves `.venv/.installing` behind, and the next call starts afresh.
With --exact an existing `.venv` of another Python version than the one running this file is replaced. With --which
nothing is done: the interpreter that a `.venv` is made with is printed.

Standard library only, and an old Python may run it: it then looks for a younger one.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys

OLDEST, TOO_NEW = (3, 11), (3, 14)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")
INSTALLING = os.path.join(VENV, ".installing")


def say(text):
    print("[venv] " + text, flush=True)


def version_of(python):
    """(major, minor) of an interpreter that has pip or can make one, None where it does not run."""
    try:
        out = subprocess.check_output(
            [python, "-c", "import sys; print(*sys.version_info[:2])"],
            stderr=subprocess.DEVNULL,
            universal_newlines=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return tuple(int(part) for part in out.split())


def supported(version):
    return version is not None and OLDEST <= version < TOO_NEW


def choose_python():
    """The interpreter that runs this file when it is supported, else the first supported one on PATH."""
    for python in [sys.executable, "python3.13", "python3.12", "python3.11"]:
        if supported(version_of(python)):
            return python
    sys.exit(
        f"[venv] No supported Python found: implicitcg needs 3.11, 3.12 or 3.13, and {sys.executable} is "
        f"{sys.version.split()[0]}.\n[venv] Install one of them, or name it: make PYTHON=/path/to/python3.12 test"
    )


def interpreter(exact):
    """What `.venv` is made with."""
    return sys.executable if exact and supported(sys.version_info[:2]) else choose_python()


def digest():
    """Of everything that decides what is installed."""
    total = hashlib.sha256(ROOT.encode())
    for name in ("pyproject.toml", "constraints.txt", os.path.join(".ci", "venv.py")):
        with open(os.path.join(ROOT, name), "rb") as file:
            total.update(file.read())
    return total.hexdigest()


def is_ready(extra, exact):
    try:
        with open(os.path.join(VENV, ".ready", extra)) as file:
            done = file.read() == digest()
    except OSError:
        return False
    if not done or os.path.exists(INSTALLING):
        return False
    return (version_of(VENV_PYTHON) == sys.version_info[:2]) if exact else os.path.exists(VENV_PYTHON)


def is_healthy(exact, python):
    """Whether packages may be added to the `.venv` that is there."""
    if os.path.exists(INSTALLING):
        say(".venv was left half-built: starting afresh")
        return False
    version = version_of(VENV_PYTHON)
    if (
        not supported(version)
        or subprocess.call([VENV_PYTHON, "-m", "pip", "--version"], stdout=subprocess.DEVNULL) != 0
    ):
        return False
    return not exact or version == version_of(python)


def create(python):
    say(f"creating .venv with {python}")
    shutil.rmtree(VENV, ignore_errors=True)
    if subprocess.call([python, "-m", "venv", VENV]) == 0:
        return
    # Some distributions ship venv without ensurepip: borrow the interpreter's own pip.
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.check_call([python, "-m", "venv", "--without-pip", VENV])
    if subprocess.call([python, "-m", "pip", "--python", VENV_PYTHON, "install", "--quiet", "pip"]) != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(f"[venv] {python} can make no environment with pip. On Debian and Ubuntu: apt install python3-venv")


def pip_install(*arguments):
    command = [VENV_PYTHON, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--constraint", os.path.join(ROOT, "constraints.txt")]
    if subprocess.call(command + list(arguments), cwd=ROOT) != 0:
        sys.exit("[venv] pip failed, for the reason above; the next call starts .venv afresh")


def install(extras):
    say(f"installing implicitcg[{','.join(extras)}] into .venv")
    with open(INSTALLING, "w"):
        pass
    # The build backend comes first, pinned as well, so that the build needs no second, unpinned environment.
    pip_install("hatchling")
    pip_install("--no-build-isolation", "--editable", f".[{','.join(extras)}]")
    ready = os.path.join(VENV, ".ready")
    os.makedirs(ready, exist_ok=True)
    for extra in extras:
        with open(os.path.join(ready, extra), "w") as file:
            file.write(digest())
    os.remove(INSTALLING)


def locked():
    """Hold a lock while this process lives, so that two `make`s do not build the same `.venv` at once."""
    os.makedirs(os.path.join(ROOT, ".cache"), exist_ok=True)
    lock = open(os.path.join(ROOT, ".cache", "venv.lock"), "w")  # noqa: SIM115 (open until the process ends)
    try:
        import fcntl
    except ImportError:
        return lock
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extras", nargs="+", metavar="EXTRA")
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--which", action="store_true")
    arguments = parser.parse_args()

    def missing():
        return [extra for extra in arguments.extras if not is_ready(extra, arguments.exact)]

    if arguments.which:
        print(interpreter(arguments.exact))
        return
    if not missing():
        return
    lock = locked()
    if missing():  # another process may have done it while we waited
        python = interpreter(arguments.exact)
        if not is_healthy(arguments.exact, python):
            create(python)
        install(missing())
    lock.close()


if __name__ == "__main__":
    main()
