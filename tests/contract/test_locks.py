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


def names_in(lines: list[str]) -> set[str]:
    """Give the normalised project names that requirement lines begin with."""
    found = (re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line) for line in lines)
    return {re.sub(r"[-_.]+", "-", match.group()).lower() for match in found if match}


def declared(groups: list[str]) -> set[str]:
    """Give what pyproject.toml asks for in these extras and groups."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    both = document["project"]["optional-dependencies"] | document["dependency-groups"]
    return names_in([line for group in groups for line in both[group]])


@pytest.mark.parametrize("lock", LOCKS)
def test_every_declared_dependency_is_locked(lock: str):
    """A dependency added without `make lock` is found here, not in an image."""
    locked = names_in((ROOT / f"requirements/{lock}.lock").read_text().splitlines())
    assert declared(LOCKS[lock]) <= locked


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_a_hash(lock: str):
    """Pip's --require-hashes would refuse the lock otherwise."""
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / f"requirements/{lock}.lock").read_text())
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
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
