"""What pages point at is there: files, headings, make targets, reasons, fields of commands."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import pytest
from tests.unit.docs.blocks import PAGES, ROOT, name

from qlib_shadow_runner.cli.parser import build_parser, subcommands

if TYPE_CHECKING:
    from pathlib import Path

DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))
EVERY_PAGE = [*PAGES, *DECISIONS, ROOT / "helm/qlib-shadow-operator/README.md"]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def prose(page: Path) -> str:
    """Give a page without its blocks."""
    return FENCED.sub("", page.read_text())


@cache
def anchors(page: Path) -> set[str]:
    """Name the headings of a page as links do."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name)
def test_every_link_within_the_project_leads_somewhere(page: Path):
    """To a file that is there, and a heading in it."""
    for link in LINK.findall(prose(page)):
        if link.startswith(("https://", "http://")):
            continue
        where, _, heading = link.partition("#")
        target = (page.parent / where).resolve() if where else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the project"
        assert not heading or heading in anchors(target), f"{link}: there is no such heading"


def test_every_page_can_be_reached_from_the_readme():
    """A page that nothing points at is not read."""
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(prose(page)) if "://" not in link)
        pages = {(page.parent / link).resolve() for link in links if link.endswith(".md")}
        waiting += sorted(pages - reached - set(waiting))
    assert set(PAGES) <= reached


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name)
def test_every_make_target_that_is_named_exists(page: Path):
    """In blocks and in the text."""
    named = set(re.findall(r"(?:^|`)(?:\$ )?make ([a-z][a-z-]*)", page.read_text(), re.MULTILINE))
    assert named <= TARGETS


@cache
def words_of_the_code() -> set[str]:
    """List the names that code and manifests know."""
    folders = ("operator", "images/runner", "manifests", "helm/qlib-shadow-operator/files")
    files = [
        file for folder in folders for end in ("py", "yaml") for file in (ROOT / folder).rglob(f"*.{end}")
    ]
    return {word for file in files for word in re.findall(r"[A-Z][A-Za-z]+", file.read_text())}


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name)
def test_every_reason_and_value_that_is_named_exists(page: Path):
    """`LikeThis`: a reason, a condition, a value of a field; the code has the very word."""
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]*)+)`", prose(page)))
    assert named <= words_of_the_code() | {"AlreadyExists"}  # the API server's own word


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_option_of_a_command_that_is_named_exists(page: Path):
    """Of `qlib-shadow NAME --option`, wherever it stands."""
    commands = subcommands(build_parser())
    for command, rest in re.findall(r"qlib-shadow (\w+)([^`\n|;&)]*)", page.read_text()):
        if command not in commands:
            continue
        known = commands[command].format_help()
        options = re.findall(r"(?<!\S)(--[a-z-]+)", rest.partition("#")[0])
        assert [option for option in options if option not in known] == []
