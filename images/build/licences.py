"""Prints the licence of each installed Python package, and refuses licences that are not approved.

python licences.py FOLDER [LOCK…]: the packages in a site-packages folder (those of the locks alone, where
locks are named) as a table; 1 and a sentence for each that is neither allowed nor an exception in
requirements/licences.toml. It runs in the build of an image, so that the standard library is all it needs.
"""
# ruff: noqa: INP001 -- a script, in no package

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final

POLICY: Final = "licences.toml"
NO_WORD: Final = re.compile(r"\s+(?:AND|OR)\s+|[()]")
LONGEST: Final = 60
"""A licence that is longer than this is a text and not a name."""


@dataclass(frozen=True)
class Package:
    """One package and what it says of its licence."""

    name: str
    version: str
    licence: str


@dataclass(frozen=True)
class Policy:
    """What is agreed to."""

    allowed: frozenset[str]
    exceptions: dict[str, str]
    words: dict[str, str]

    def fault(self, package: Package) -> str | None:
        """Say what is wrong with a package, if anything is."""
        if self.exceptions.get(package.name) == package.licence:
            return None
        parts = {part.strip() for part in NO_WORD.split(package.licence)} - {""}
        if parts and parts <= self.allowed:
            return None
        said = package.licence or "nothing that it tells"
        return (
            f"{package.name} {package.version} is licensed as '{said}', "
            "which is neither allowed nor an exception; leave it out, or name it in "
            f"requirements/{POLICY} with the reason"
        )

    def stale(self, packages: list[Package]) -> list[str]:
        """Say which exceptions nothing needs any more."""
        there = {package.name: package.licence for package in packages}
        return [
            f"{name} is an exception as '{licence}' in requirements/{POLICY}, but "
            + (f"says '{there[name]}' now" if name in there else "is no longer installed")
            + "; remove or mend the exception"
            for name, licence in self.exceptions.items()
            if there.get(name) != licence
        ]


def read_policy(file: Path) -> Policy:
    """Read what is agreed to."""
    found: dict[str, Any] = tomllib.loads(file.read_text())
    exceptions = {name: entry["licence"] for name, entry in found["exceptions"].items()}
    return Policy(frozenset(found["allowed"]), exceptions, found["words"])


def packages(folder: Path, policy: Policy) -> list[Package]:
    """List the packages of a folder, by name."""
    found = (
        Package(plain(one.name), one.version, licence(one, policy.words))
        for one in distributions(path=[str(folder)])
    )
    return sorted(found, key=lambda package: package.name)


def licence(distribution: Distribution, words: dict[str, str]) -> str:
    """Give a package's licence as an SPDX expression where it can be known, and as it stands otherwise."""
    said = distribution.metadata
    if "License-Expression" in said:
        return said["License-Expression"]
    named = said["License"].strip() if "License" in said else ""
    if named and "\n" not in named and len(named) <= LONGEST and named != "UNKNOWN":
        return words.get(named, named)
    classifiers = filter(is_licence, said.get_all("Classifier") or ())
    shorts = [line.rpartition(" :: ")[2] for line in classifiers]
    return " AND ".join(words.get(short, short) for short in shorts)


def is_licence(classifier: str) -> bool:
    """Whether a classifier is about the licence, and says which."""
    return classifier.startswith("License :: ") and classifier != "License :: OSI Approved"


def plain(name: str) -> str:
    """Write a package's name as locks do."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(locks: list[Path]) -> set[str]:
    """Name the packages of locks."""
    text = "".join(lock.read_text() for lock in locks)
    return set(re.findall(r"^([a-z0-9.-]+)==", text, re.MULTILINE))


def table(listed: list[Package]) -> str:
    """Write packages for people."""
    rows = [f"| {package.name} | {package.version} | {package.licence} |" for package in listed]
    return "\n".join(("| package | version | licence |", "|---|---|---|", *rows, ""))


def main(arguments: list[str]) -> int:
    """Print the table, and what is wrong."""
    policy = read_policy(Path(__file__).resolve().parents[2] / "requirements" / POLICY)
    folder, *locks = (Path(argument) for argument in arguments)
    wanted = locked(locks)
    listed = [one for one in packages(folder, policy) if not locks or one.name in wanted]
    faults = [fault for one in listed if (fault := policy.fault(one))]
    faults += policy.stale(listed) if locks else []
    sys.stdout.write(table(listed))
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
