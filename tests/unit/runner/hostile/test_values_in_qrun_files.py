"""Any value in a workflow file for plain qrun becomes a manifest that is valid, or a sentence."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Final

from tests.unit.runner.adopt.qrun_files import ENSEMBLE, MODEL, PLAIN, WITH_OWN_FEATURES, changed
from tests.unit.runner.hostile.hostile_values import DATES, LETTERS, NUMBERS, ROUNDS, is_seen

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

FILES: Final = (PLAIN, changed((MODEL, ENSEMBLE)), changed(*WITH_OWN_FEATURES))
VALUES: Final = (
    *NUMBERS,
    *DATES,
    *(json.dumps(value) for value in LETTERS),
    *(f"'{value}'" for value in LETTERS),
    *("null", "true", "[]", "{}", "''", "[[]]", "{a: {b: c}}", "[1, 2]", "? [a]", "*pool", "&pool x", "~"),
    *("<PRED>", "<MODEL>", "../../etc", "-1", "'1'", "0.5", "csi300", "[csi300]", "[SH600000, 1, null]"),
    *('"{% raw %}"', "'{# #}'", "'{{'", "'}}'", "'{{ HOME }}'", "'%}'", "!!int '1'", "!!str 1", "|\n  x"),
)
PLACES: Final = (re.compile(r"(?<=: )[^\s{}\[\],#&*<>:]+"), re.compile(r"(?<=: ).+$", re.MULTILINE))
"""A plain value, and all that stands behind a key."""
LONGEST: Final = 1_000
"""Characters of a sentence, which names the file's path."""


def damaged(chosen: random.Random) -> str:
    """Return a file with one to three hostile values in the places of its own, or of what is in a place."""
    text = chosen.choice(FILES)
    for _ in range(chosen.choice([1, 1, 1, 2, 3])):
        begin, end = chosen.choice([match.span() for match in chosen.choice(PLACES).finditer(text)])
        text = text[:begin] + chosen.choice(VALUES) + text[end:]
    return text


def fault_of(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> str | None:
    """Adopt a file; return what is wrong with how it ended, or None."""
    file, output = folder / "workflow.yaml", folder / "run.yaml"
    file.write_bytes(text.encode(errors="surrogatepass"))
    output.unlink(missing_ok=True)
    code = main(["adopt", str(file), "--output", str(output)])
    said = capsys.readouterr()
    told = said.out + said.err
    if "Traceback" in told or "InternalError" in told or not is_seen(told):
        return f"adopt: {code} {told[-400:]!r}"
    if code != ExitCode.DONE:
        return None if len(told) < LONGEST and not output.exists() else f"adopt: {code} {told[:LONGEST]!r}"
    code = main(["validate", str(output)])
    said = capsys.readouterr()
    return None if code == ExitCode.DONE else f"validate: {code} {(said.out + said.err)[-400:]!r}"


def test_random_values_in_a_workflow_file_give_a_valid_run_or_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Nothing is written where a sentence is the answer, and what is written is a manifest."""
    chosen, count = (random.Random(7), 40) if ROUNDS is None else (random.Random(), int(ROUNDS) // 4)
    faults: list[object] = []
    for _ in range(count):
        text = damaged(chosen)
        told = fault_of(tmp_path, text, capsys)
        if told:
            unlike = [line[:100] for line in text.splitlines() if not any(line in file for file in FILES)]
            faults.append((unlike, told))
    assert not faults, "\n".join(map(str, faults))
