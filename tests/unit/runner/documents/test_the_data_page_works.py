"""The commands of the pages about data work in their order, and the tables equal the code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml

from qlib_shadow_runner.contract.spec.dataset import Refresh
from qlib_shadow_runner.contract.spec.price_files import Adjust, BadRows, Duplicates, PricesSpec
from qlib_shadow_runner.dataset.prices.column_roles import ROLES
from qlib_shadow_runner.dataset.quality.checks import RULES, STRUCTURAL
from qlib_shadow_runner.dataset.sources import SOURCES
from qlib_shadow_runner.spec import parse_spec

DOCS: Final = Path(__file__).parents[4] / "docs"
TEXT: Final = "".join((DOCS / f"{page}.md").read_text() for page in ("data", "prices", "datasets"))
BLOCKS: Final = re.findall(r"^```(\w*) ?(\S*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
"""Kind, file name and content; those with a file name are files, the other YAML is a part of a spec."""
FRAGMENTS: Final = [content for kind, name, content in BLOCKS if kind == "yaml" and not name]


def rows(text: str = TEXT) -> list[list[str]]:
    """Give the rows of all tables, as cells."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_what_is_shown_is_what_happens(tmp_path: Path):
    """The files are written, the commands run by a shell, and the dataset is there."""
    for _, name, content in BLOCKS:
        if name:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
    commands = "".join(content for kind, _, content in BLOCKS if kind == "sh")
    assert commands.count("qlib-shadow ") == TEXT.count("\nqlib-shadow ")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = {"PATH": path, "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "note: symbols renamed from the files (1): BRK/B is BRK-B" in done.stdout
    home = tmp_path / "data/qlib/qlib_data"
    version = (home / "us_data_1d").resolve()
    assert re.fullmatch(r"us_data_1d@[0-9a-f]{12}", version.name)
    manifest = json.loads((home / f"{version.name}.manifest.json").read_text())
    assert manifest["universes"] == {"all": 3, "tradable": 2}
    assert (home / ".us_data_1d.lock").read_bytes() == b""


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_every_part_of_a_spec_is_one(fragment: str):
    """As it stands, below `spec`."""
    assert parse_spec(yaml.safe_load(fragment)).dataset


def test_every_source_is_named_and_tried():
    """In the table, and in a manifest or a part of one."""
    shown = {row[0].strip("`") for row in rows(TEXT.partition("## From")[0])}
    assert shown == set(SOURCES)
    specs = [parse_spec(yaml.safe_load(fragment)) for fragment in FRAGMENTS]
    tried = {type(spec.dataset.source).__name__ for spec in specs}
    assert tried == {"Prices", "Archive", "PublicSet", "Existing"}


def test_every_name_of_every_column_is_there():
    """Row by row."""
    told = {row[0].strip("`"): row for row in rows(TEXT.partition("\n## Columns")[2].partition("\n## ")[0])}
    assert told.keys() == ROLES.keys()
    for role, rules in ROLES.items():
        _, needed, names = told[role]
        words = set(re.split(r",? else |, or |, ", names)) - {"a nameless first column"}
        assert words == {*rules.names, *({"name"} if role == "symbol" else ())}
        assert needed.startswith("needed") == (rules.required or role == "symbol")


def test_the_options_have_the_values_and_defaults_that_are_told():
    """Each word of the code is on the page."""
    told = {
        row[0]: row for row in rows(TEXT.partition("\n## What the options mean")[2].partition("\n## ")[0])
    }
    for name, kinds, default in (
        ("`adjust`", Adjust, PricesSpec.adjust),
        ("`duplicates`", Duplicates, PricesSpec.duplicates),
        ("`badRows`", BadRows, PricesSpec.bad_rows),
    ):
        assert set(re.findall(r"`(\w+)`", told[name][1])) >= set(kinds)
        assert told[name][2] == f"`{default}`"
    assert told["`universe`"][2] == f"`{PricesSpec.universe}`"


def test_the_words_for_refresh_and_quality_are_the_codes():
    """With what each finds, and whether it blocks by itself."""
    told = {row[0].strip("`"): row for row in rows()}
    assert set(Refresh) <= told.keys()
    for name, rule in RULES.items():
        assert told[name][1:] == ["always" if name in STRUCTURAL else "if asked", rule.finds, rule.hint]
