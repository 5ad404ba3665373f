"""Run other programs; a failure is a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from testcluster.errors import CommandError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TAIL_LINES = 15


def run(
    *command: str | Path,
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> str:
    """Run a command and return what it printed; env is added to this process's own."""
    argv = [str(part) for part in command]
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise missing(argv[0]) from error
    if check and done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-TAIL_LINES:])
        message = f"`{' '.join(argv)}` ended with {done.returncode}: {tail}"
        raise CommandError(message)
    return done.stdout


def succeeds(*command: str | Path) -> bool:
    """Return whether a command exists and ends with 0."""
    try:
        run(*command)
    except (CommandError, UnavailableError):
        return False
    return True


def missing(program: str) -> UnavailableError:
    """Return the error for a program that is not installed."""
    return UnavailableError(f"{program} is not installed; install it and put it on PATH")


def say(text: str) -> None:
    """Tell the user what takes long; standard output stays for results."""
    sys.stderr.write(f"testcluster: {text}\n")
    sys.stderr.flush()
