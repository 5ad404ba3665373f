"""The locks are complete, hashed and name no index."""

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
    """Return the normalised project names that requirement lines begin with."""
    found = (re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line) for line in lines)
    return {re.sub(r"[-_.]+", "-", match.group()).lower() for match in found if match}


def declared(groups: list[str]) -> set[str]:
    """Return what pyproject.toml asks for in these extras and groups."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    both = document["project"]["optional-dependencies"] | document["dependency-groups"]
    return names_in([line for group in groups for line in both[group]])


@pytest.mark.parametrize("lock", LOCKS)
def test_every_declared_dependency_is_locked(lock: str):
    """A dependency added without `make lock` is found here, not in an image."""
    locked = names_in((ROOT / f"requirements/{lock}.lock").read_text().splitlines())
    assert declared(LOCKS[lock]) <= locked


def pins(name: str) -> set[str]:
    """Return the versions of a lock, without what they depend on."""
    return set(
        re.findall(r"^[a-z0-9.-]+==\S+", (ROOT / f"requirements/{name}.lock").read_text(), re.MULTILINE)
    )


def test_what_builds_the_images_is_locked_at_the_versions_that_are_tested():
    """What is in both locks has one version: an image's bill is written by the tool that the tests use."""
    build, dev = pins("build"), pins("dev")
    assert names_in((ROOT / "requirements/build.in").read_text().splitlines()) <= names_in([*build])
    shared = {pin for pin in build if names_in([pin]) <= names_in([*dev])}
    assert len(shared) > 10
    assert shared <= dev


@pytest.mark.parametrize("lock", EVERY)
def test_every_locked_package_has_a_hash(lock: str):
    """Pip's --require-hashes would refuse the lock otherwise."""
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / f"requirements/{lock}.lock").read_text())
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", EVERY)
def test_no_lock_names_an_index(lock: str):
    """Where packages come from is the machine's business."""
    assert not re.search(r"https?://|--(extra-)?index-url", (ROOT / f"requirements/{lock}.lock").read_text())


@pytest.mark.parametrize("lock", LOCKS)
def test_what_qrun_never_imports_stays_out(lock: str):
    """A gigabyte of notebooks and plotting would come back unseen."""
    lines = (ROOT / "requirements/excludes.txt").read_text().splitlines()
    excluded = names_in([line for line in lines if not line.startswith("#")])
    locked = names_in((ROOT / f"requirements/{lock}.lock").read_text().splitlines())
    assert not excluded & locked
