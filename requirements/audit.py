"""Asks the public advisories (OSV) about every locked package: `make audit`.

A vulnerability that is known ends it with 1. Where the advisories cannot be asked, it says so in one sentence
and ends with 0, so that work goes on offline; with --answer-required it ends with 2, for a release.
"""
# ruff: noqa: INP001 -- a script, in no package

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = Path(__file__).parent
LOCKS: Final = ("runner", "operator", "dev")
OSV: Final = "https://api.osv.dev/v1/query"
HOW: Final = ("--disable-pip", "--require-hashes", "--progress-spinner=off", "--timeout=10", "--format=json")
FOUND, UNKNOWN = 1, 2


@dataclass(frozen=True)
class Answer:
    """What is known of one lock: sentences about vulnerabilities, and about what could not be learnt."""

    lock: str
    packages: int
    found: tuple[str, ...] = ()
    unknown: str = ""

    def told(self) -> str:
        """Say it."""
        sentences = [*self.found, self.unknown] if self.unknown else [*self.found]
        return "".join(f"{self.lock}: {one}\n" for one in sentences) or (
            f"{self.lock}: {self.packages} packages, no known vulnerability\n"
        )


def ask_all(locks: list[Path], url: str) -> Iterator[Answer]:
    """Ask about one lock after the other, as long as there are answers."""
    for lock in locks:
        answer = ask(lock, url)
        yield answer
        if not answer.packages:
            return


def ask(lock: Path, url: str) -> Answer:
    """Let pip-audit ask about one lock."""
    program = Path(sys.executable).parent / "pip-audit"
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "answer.json"
        service = ("--vulnerability-service=osv", f"--osv-url={url}", f"--requirement={lock}")
        command = (program, *HOW, *service, f"--output={output}")
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if not output.exists():
            return Answer(lock.name, 0, unknown=silence(url, done.stderr))
        return read(lock.name, json.loads(output.read_text())["dependencies"])


def silence(url: str, said: str) -> str:
    """Say that nothing was learnt, and why."""
    error = (re.findall(r"\w+(?:Error|Timeout)\b", said) or ["pip-audit did not say why"])[-1]
    return f"nothing is known, since {url} could not be asked ({error}); try again where it can be reached"


def read(lock: str, packages: list[dict[str, Any]]) -> Answer:
    """Make sentences of what pip-audit has written."""
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    unknown = f"nothing is known of {', '.join(skipped)}; the advisories do not have them" if skipped else ""
    found = (fault(package, one) for package in packages for one in package.get("vulns", ()))
    return Answer(lock, len(packages), tuple(found), unknown)


def fault(package: dict[str, Any], one: dict[str, Any]) -> str:
    """Say what is wrong with a package and where it is mended."""
    mended = ", ".join(one["fix_versions"])
    remedy = (
        f"mended in {mended}: make lock ARGS='--upgrade-package {package['name']}'"
        if mended
        else "not mended yet"
    )
    return f"{package['name']} {package['version']} has {one['id']}; {remedy}"


def main(arguments: list[str]) -> int:
    """Ask about all locks."""
    parser = argparse.ArgumentParser(prog="make audit", description=__doc__)
    parser.add_argument("--osv-url", default=OSV, help="another service that answers as OSV does")
    parser.add_argument(
        "--answer-required", action="store_true", help="end with 2 where nothing can be learnt"
    )
    parser.add_argument("locks", nargs="*", type=Path, default=[FOLDER / f"{name}.lock" for name in LOCKS])
    options = parser.parse_args(arguments)
    answers = list(ask_all(options.locks, options.osv_url))
    sys.stdout.write("".join(answer.told() for answer in answers))
    if any(answer.found for answer in answers):
        return FOUND
    return UNKNOWN if options.answer_required and any(answer.unknown for answer in answers) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
