"""Run the checks, the unit tests and the cluster's tests to their ends, and report on each: `make test`.

The cluster's tests mostly wait, so they run beside the others. What they print is shown at the end. What they
need last is compiled meanwhile; where that fails, those tests try it again and say why.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from tempfile import _TemporaryFileWrapper

    Log = _TemporaryFileWrapper[bytes]

NO_TESTS = 5
"""How pytest ends where no test is selected."""
POLL_SECONDS = 0.2


class Suite:
    """A command that is started, and how it ended."""

    def __init__(self, name: str, command: str, stack: ExitStack, output: Log | None = None) -> None:
        """Start it; it ends with the stack at the latest."""
        self.name = name
        self.process = subprocess.Popen(
            ("sh", "-c", f"exec {command}"),
            stdin=subprocess.DEVNULL if output else None,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
        )
        stack.callback(self.process.wait)
        stack.callback(self.process.terminate)

    @property
    def code(self) -> int:
        """Return its exit code once it has ended."""
        return self.process.wait()

    def line(self) -> str:
        """Return what the report says of it."""
        known = {0: "passed", NO_TESTS: "no test is selected"}
        return f"{self.name:<13} {known.get(self.code, f'FAILED with exit code {self.code}')}"


def run(lint: str, unit: str, cluster: str, parts: str) -> list[Suite]:
    """Run lint and the unit tests one after the other, and the cluster's tests beside both."""
    with ExitStack() as stack:
        log = stack.enter_context(tempfile.NamedTemporaryFile(prefix="cluster-test-", suffix=".log"))
        Suite("parts", parts, stack, stack.enter_context(tempfile.NamedTemporaryFile(prefix="parts-")))
        tell(f"cluster-test runs beside lint and unit; its output goes to {log.name} and is shown at the end")
        beside = Suite("cluster-test", cluster, stack, log)
        suites = []
        for name, command in (("lint", lint), ("unit", unit)):
            suites.append(Suite(name, command, stack))
            suites[-1].process.wait()
        show(Path(log.name), beside.process)
    return [*suites, beside]


def tell(text: str) -> None:
    """Write a line at once, before what a suite writes next."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def show(log: Path, process: subprocess.Popen[bytes]) -> None:
    """Copy a log to the output until the process that writes it has ended."""
    with log.open("rb") as reader:
        while True:
            is_over = process.poll() is not None
            sys.stdout.buffer.write(reader.read())
            sys.stdout.buffer.flush()
            if is_over:
                return
            time.sleep(POLL_SECONDS)


def exit_code(lint: int, *tests: int) -> int:
    """Return 1 if anything failed, or if none of the suites had a test to run."""
    failed = lint != 0 or any(code not in {0, NO_TESTS} for code in tests)
    return int(failed or all(code == NO_TESTS for code in tests))


def main(given: Sequence[str] | None = None) -> int:
    """Run what the Makefile names, and report."""
    parser = argparse.ArgumentParser(description="run all suites, whatever fails")
    for name in ("lint", "unit", "cluster-test", "parts"):
        parser.add_argument(f"--{name}", required=True, metavar="COMMAND")
    options = parser.parse_args(given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    suites = run(options.lint, options.unit, options.cluster_test, options.parts)
    tell("\nmake test:")
    for suite in suites:
        tell(f"  {suite.line()}")
    return exit_code(*(suite.code for suite in suites))


if __name__ == "__main__":
    raise SystemExit(main())
