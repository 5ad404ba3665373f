"""No page shows a command that was never run: each block is run by a test, or says why not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.docs.blocks import MAKE, PAGES, ROOT, Block, all_blocks, name, read, write_files

DATA_PAGES = ("docs/data.md", "docs/prices.md", "docs/datasets.md")
"""Tests in tests/unit/runner/documents run all their blocks in order and check what they promise."""
MANIFEST = """\
apiVersion: qlibshadow.io/v1alpha1
kind: QlibShadowRun
metadata: {name: us-nightly}
spec:
  runId: us-nightly-1
  dataset: {source: {synthetic: {symbols: 12, days: 300}}}
  workflow: {model: {num_boost_round: 20}}
"""
"""What pages call run.yaml. It has an id, so it is trained once; run again, it only looks at the result."""


def here(block: Block) -> bool:
    """Whether a block is to be run on this machine, without a cluster."""
    return block.is_run and not block.wants_a_cluster and block.page not in DATA_PAGES


LAPTOP = [page for page in PAGES if any(here(block) for block in read(page))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder as a reader has it: the checkout's files, and one volume for all pages."""
    folder = tmp_path_factory.mktemp("checkout")
    for entry in ("manifests", "config", "docs"):
        (folder / entry).symlink_to(ROOT / entry)
    (folder / "run.yaml").write_text(MANIFEST)
    assert shell("qlib-shadow run run.yaml", folder).returncode == 0
    return folder


def shell(commands: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Type commands, and stop at the first that fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("page", LAPTOP, ids=name)
def test_what_is_typed_on_a_laptop_works(page: Path, folder: Path):
    """All of a page's blocks, in their order."""
    write_files(page, folder)
    commands = "".join(block.commands for block in read(page) if here(block))
    done = shell(commands, folder)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_pages_are_found():
    """A pattern that finds nothing would pass all of the above."""
    assert {"docs/first-run.md", "docs/commands.md", "docs/cleaning-up.md"} <= {name(page) for page in LAPTOP}
    assert sum(block.is_run for block in all_blocks()) > 20


@pytest.mark.parametrize("block", [block for block in all_blocks() if block.is_commands], ids=str)
def test_a_block_is_run_or_says_why_not(block: Block):
    """Make's targets take long or change the machine, so that those blocks always have to say."""
    assert block.commands.strip(), "a console block shows its commands after '$ '"
    if MAKE.search(block.commands):
        assert block.why_not, "say why make is not run here"
    if block.why_not:
        assert len(block.why_not.split()) > 2, "a reason is a sentence"
    for test in re.findall(r"tests/[\w/.]+", block.why_not):
        assert (ROOT / test).exists(), f"the reason names {test}, which is not there"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_commands_hide_in_other_fences(page: Path):
    """One word for a shell, so that no block is overlooked; and no mark that belongs to no block."""
    blocks = read(page)
    assert not {block.kind for block in blocks} & {"bash", "shell", "zsh", "shellsession"}
    plain = [block for block in blocks if not block.is_commands]
    typed = re.compile(r"^(?:\$ |kubectl |helm |make )", re.MULTILINE)
    assert [str(block) for block in plain if block.kind == "" and typed.search(block.text)] == []
    marks = len(re.findall(r"^<!-- not run:", page.read_text(), re.MULTILINE))
    assert marks == sum(bool(block.why_not) for block in blocks if block.is_commands)
    assert page.read_text().count("\n```") == 2 * len(blocks)
