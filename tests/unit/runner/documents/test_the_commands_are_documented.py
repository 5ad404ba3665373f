"""docs/commands.md is what the commands say of themselves, and what it shows is what they do."""

from __future__ import annotations

import re
import shlex

import pytest
from tests.unit.runner.documents.commands_page import PAGE, page

from qlib_shadow_runner.cli.parser import build_parser, subcommands


def test_the_page_is_current():
    """Every command with its help, and every exit code."""
    assert PAGE.read_text() == page(), "docs/commands.md is stale; run: make docs"
    assert all(f"### `qlib-shadow {name}`" in page() for name in subcommands(build_parser()))


BLOCKS = "".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL))


@pytest.mark.parametrize("line", re.findall(r"qlib-shadow [^|)#\n]*\w", BLOCKS))
def test_every_command_on_the_page_can_be_typed(line: str):
    """The parser takes it as it stands."""
    assert build_parser().parse_args(shlex.split(line)[1:]).command
