"""The locks are complete, have hashes and name no index."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = {
    "runner": ["runner"],
    "operator": ["operator"],
    "dev": ["runner", "operator", "dev"],
}
EVERY = [*LOCKS, "build"]
"""Build is what the images are built with; requirements/build.in declares it."""


def names_in(lines: list[str]) -> set[str]:
    """Return the normalised project names of requirement lines."""
    found = (re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line) for line in lines)
    return {re.sub(r"[-_.]+", "-", match.group()).lower() for match in found if match}


def declared(groups: list[str]) -> set[str]:
    """Return the requirements of these extras and groups in pyproject.toml."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    both = document["project"]["optional-dependencies"] | document["dependency-groups"]
    return names_in([line for group in groups for line in both[group]])


@pytest.mark.parametrize("lock", LOCKS)
def test_every_declared_dependency_is_locked(lock: str):
    """A dependency added without `make lock` is detected here, not in an image."""
    locked = names_in((ROOT / f"requirements/{lock}.lock").read_text().splitlines())
    assert declared(LOCKS[lock]) <= locked


def pins(name: str) -> set[str]:
    """Return the versions of a lock."""
    return set(
        re.findall(r"^[a-z0-9.-]+==\S+", (ROOT / f"requirements/{name}.lock").read_text(), re.MULTILINE)
    )


def test_build_lock_has_the_tested_versions():
    """An image's bill of materials is written by the tested version of its tool."""
    build, dev = pins("build"), pins("dev")
    assert names_in((ROOT / "requirements/build.in").read_text().splitlines()) <= names_in([*build])
    shared = {pin for pin in build if names_in([pin]) <= names_in([*dev])}
    assert len(shared) > 10
    assert shared <= dev


@pytest.mark.parametrize("lock", EVERY)
def test_every_locked_package_has_a_hash(lock: str):
    """Otherwise --require-hashes would refuse the lock."""
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / f"requirements/{lock}.lock").read_text())
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", EVERY)
def test_no_lock_names_an_index(lock: str):
    """Each machine chooses its own index."""
    assert not re.search(r"https?://|--(extra-)?index-url", (ROOT / f"requirements/{lock}.lock").read_text())


@pytest.mark.parametrize("lock", LOCKS)
def test_excluded_packages_are_not_locked(lock: str):
    """They would add a gigabyte of notebooks and plotting to the image."""
    lines = (ROOT / "requirements/excludes.txt").read_text().splitlines()
    excluded = names_in([line for line in lines if not line.startswith("#")])
    locked = names_in((ROOT / f"requirements/{lock}.lock").read_text().splitlines())
    assert not excluded & locked
