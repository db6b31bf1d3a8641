"""Make .venv: pinned wheels, this package's messages, and the package itself, linked in place.

`make setup` runs this. It uses the standard library alone, installs nothing a second time, and needs no
sourcing afterwards: everything goes into the one prefix that the ROS wheels put on the library path.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "sentryfuse-setup.json"
LOG = ROOT / "build" / "setup.log"
PYTHONS = ((3, 10), (3, 14))
REQUIREMENTS = ("requirements.txt", "requirements-build.txt", "requirements-dev.txt", "constraints.txt")
BUILT = "build/colcon"  # where the messages are built
PACKAGE_INPUTS = ("CMakeLists.txt", "package.xml", "pyproject.toml", "setup.py", "msg", "launch", "config",
                  "tools/make_scripts.py")  # fmt: skip
# A sourced ROS distribution or an active virtual environment must not leak into this one.
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "COLCON_PREFIX_PATH",
           "LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE", "VIRTUAL_ENV")  # fmt: skip


class SetupError(Exception):
    """Something on this machine is missing; the text is one line with the remedy."""


def check_machine() -> None:
    """Raise SetupError for whatever would otherwise fail later with a worse message."""
    machine, system = platform.machine(), platform.system()
    if system != "Linux" or machine != "x86_64":
        raise SetupError(
            f"the ROS wheels exist for x86_64 Linux only, this is {machine} {system}: "
            "build the package in a ROS 2 distribution instead (README, 'In a ROS 2 distribution')"
        )
    libc, version = platform.libc_ver()
    if libc != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < (2, 28):
        raise SetupError(
            f"the ROS wheels need glibc 2.28 or newer, this is {libc or 'another C library'} {version}"
        )
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        raise SetupError(
            f"Python 3.10 to 3.14 is needed, {sys.executable} is {platform.python_version()}: "
            "name another one with `make setup PYTHON=python3.12`"
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f"{sys.executable} has no {error.name} module: sudo apt install python3-venv"
        ) from error
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        raise SetupError(f"the headers of {sys.executable} are missing: sudo apt install python3-dev")
    for tool in ("g++", "make"):
        if shutil.which(tool) is None:
            raise SetupError(f"{tool} is not installed: sudo apt install build-essential")


def digest(names: tuple[str, ...]) -> str:
    """Hash of files and folders below the checkout, by name and content."""
    result = hashlib.sha256()
    for name in names:
        top = ROOT / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and path.suffix != ".pyc":
                result.update(f"{path.relative_to(ROOT)}\0{path.stat().st_mode & 0o111}\0".encode())
                result.update(path.read_bytes())
    return result.hexdigest()


def wanted() -> dict[str, str]:
    """What the environment should have been made from."""
    script = digest(("tools/setup_env.py",))
    return {
        "interpreter": f"{sys.version} {os.path.realpath(sys.executable)} at {VENV}",
        "wheels": digest(REQUIREMENTS) + script,
        "package": digest(PACKAGE_INPUTS) + script,
    }


def read_stamp() -> dict[str, str]:
    """What it was made from; empty when it never was."""
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp


def write_stamp(parts: dict[str, str]) -> None:
    """Note what it is made from by now."""
    STAMP.write_text(json.dumps(parts, indent=1), encoding="utf-8")


def environment() -> dict[str, str]:
    """Environment of every step: this .venv first, nothing of another ROS."""
    kept = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    return {
        **kept,
        "VIRTUAL_ENV": str(VENV),
        "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "AMENT_PREFIX_PATH": str(VENV),
        "CMAKE_PREFIX_PATH": str(VENV),
    }


def step(what: str, command: list[str]) -> None:
    """Run one command into the log, showing what it is doing; raise SetupError with the log's path."""
    started, live = time.monotonic(), sys.stdout.isatty()
    print(f"  {what} ...", end="" if live else "\n", flush=True)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"\n$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace",
        )  # fmt: skip
        assert process.stdout is not None  # noqa: S101 - for the type checker
        last, cut_off = "", False
        for line in process.stdout:
            log.write(line)
            show(what, line, live=live)
            cut_off = cut_off or "connection broken by" in line
            if re.match(r"\s*(ERROR|error|CMake Error|.*fatal error)", line):
                last = line.strip()
        code = process.wait()
    seconds = time.monotonic() - started
    print(f"\r\033[K  {what}: {seconds:.0f} s" if live else f"    {seconds:.0f} s", flush=True)
    if cut_off and "No matching distribution" in last:  # as pip says also of a version that does not exist
        last = "the package index was not reached; look at the network and the proxy"
    if code != 0:
        raise SetupError(f"{what} failed{f' ({last})' if last else ''}: the whole output is in {LOG}")


def show(what: str, line: str, *, live: bool) -> None:
    """What a line of pip's output says it is doing: in place on a terminal, else large downloads alone."""
    download = re.match(r"\s*Downloading (\S+?)-[\d.]+\S* \(([\d.]+) (\w+)\)", line)
    current = re.match(r"\s*(?:Collecting|Processing|Building|Installing) \S+", line)
    if live and (download or current):
        print(f"\r\033[K  {what}: {' '.join(line.split())[:100]}", end="", flush=True)
    elif download and download[3] == "MB" and float(download[2]) >= 50:
        print(f"    downloading {download[1]}, {download[2]} MB", flush=True)


def repair_cmake_files() -> None:
    """Point the wheels' CMake files at this Python; they name folders of the machine that built them."""
    probe = "import sysconfig; p = sysconfig.get_paths(); print(p['include']); print(p['purelib'])"
    include, site_packages = run_python(probe).splitlines()
    built_on = r"/[^;\"\s]*/cp\d+-cp\d+\w*/"
    for path in (VENV / "share").rglob("*.cmake"):
        before = path.read_text(encoding="utf-8")
        after = re.sub(built_on + r"include/python\d\.\d+\w*", include, before)
        after = re.sub(built_on + r"lib/python\d\.\d+\w*/site-packages", site_packages, after)
        if after != before:
            path.write_text(after, encoding="utf-8")


def run_python(code: str) -> str:
    """Output of a line of code in the new environment."""
    return subprocess.run(
        [str(VENV / "bin" / "python"), "-c", code],
        env=environment(),
        check=True,
        text=True,
        capture_output=True,
    ).stdout


def install_wheels(*, fresh: bool) -> None:
    """Make the virtual environment and install every pinned wheel."""
    if fresh:
        # CMake knows a Python by its path, and would build for the one that .venv was made with before.
        shutil.rmtree(ROOT / BUILT, ignore_errors=True)
        step("make .venv", [sys.executable, "-m", "venv", "--clear", str(VENV)])
        # The Makefile reads it, so that PYTHON=... has to be given only once.
        (VENV / "base-python").write_text(os.path.realpath(sys.executable), encoding="utf-8")
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    files = [item for name in REQUIREMENTS[:3] for item in ("-r", name)]
    step("install the pinned wheels", [*pip, "--progress-bar", "off", "-c", REQUIREMENTS[3], *files])
    repair_cmake_files()
    # ament_index_python finds share/sentryfuse through this; in a distribution setup.bash sets it.
    site_packages = Path(run_python("import sysconfig; print(sysconfig.get_paths()['purelib'])").strip())
    (site_packages / "sentryfuse_prefix.pth").write_text(
        "import os, sys; os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)\n", encoding="utf-8"
    )


def install_package() -> None:
    """Build msg/ into the prefix and link the Python packages and console scripts."""
    python = VENV / "bin" / "python"
    site_packages = run_python("import sys, sysconfig; print(sysconfig.get_paths()['purelib'])").strip()
    step(
        "build the messages",
        [str(VENV / "bin" / "colcon"), "--log-base", "build/colcon_log", "build", "--paths", ".",
         "--merge-install", "--install-base", str(VENV), "--build-base", BUILT,
         "--cmake-args", "-DBUILD_TESTING=OFF", "-DSENTRYFUSE_INSTALL_PYTHON=OFF",
         f"-DPython3_EXECUTABLE={python}", f"-DPYTHON_INSTALL_DIR={os.path.relpath(site_packages, VENV)}"],
    )  # fmt: skip
    step(
        "link the package",
        [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps",
         "--no-build-isolation", "--editable", "."],
    )  # fmt: skip


def torch_build() -> str:
    """Which torch arrived and how much disk it takes with its libraries."""
    code = (
        "import importlib.metadata as m\n"
        "found = {d.name for d in m.distributions()}\n"
        "names = {n for n in found if n.startswith(('nvidia-', 'cuda-', 'triton'))} | {'torch'}\n"
        "size = sum(f.size or 0 for n in names for f in m.files(n) or ())\n"
        "print(m.version('torch'), len(names) - 1, round(size / 1e9, 1))"
    )
    version, libraries, gigabytes = run_python(code).split()
    kind = "CPU build" if libraries == "0" else f"CUDA build, with {libraries} NVIDIA libraries"
    return f"torch {version} ({kind}), {gigabytes} GB on disk"


def main() -> int:
    """Bring .venv up to date; return the exit status."""
    with Path(__file__).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once would install over each other
        try:
            have, want = read_stamp(), wanted()
            if have == want:
                return 0
            check_machine()
            LOG.parent.mkdir(exist_ok=True)
            LOG.write_text("", encoding="utf-8")
            print(
                "SentryFuse: setting up .venv" + (" (once; several minutes)" if not have else ""), flush=True
            )
            fresh = have.get("interpreter") != want["interpreter"]
            stale = fresh or have.get("wheels") != want["wheels"]
            if have:  # what is changed now is no longer what it was, should this be interrupted
                write_stamp({} if fresh else have | {"package": ""} | ({"wheels": ""} if stale else {}))
            if stale:
                install_wheels(fresh=fresh)
                write_stamp(want | {"package": ""})
                print(f"  {torch_build()}")
            install_package()
            write_stamp(want)
        except SetupError as error:
            print(f"setup: {error}", file=sys.stderr)
            return 2
        except OSError as error:
            reason = f"{error.filename or ROOT}: {error.strerror or error}"
            print(f"setup: {reason}; check the path, its rights and free space", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\nsetup: interrupted; `make setup` again completes it", file=sys.stderr)
            return 130
    print("  ready: .venv/bin/sentryfuse, make demo, make test")
    return 0


if __name__ == "__main__":
    sys.exit(main())
