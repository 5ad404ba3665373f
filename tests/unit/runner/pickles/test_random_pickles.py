"""Random pickles are sentences or tables: nothing is imported or changed, and the process ends by itself.

QLIB_SHADOW_CHAOS_PICKLES asks for more of them, and for others each time.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from tests.unit.runner.pickles.fuzz import programs
from tests.unit.runner.report.recorded_runs import Shape, artifacts_of, make_run

from qlib_shadow_runner.pickles.files import ACCOUNT, FILES, IC, PREDICTIONS, RECORDED_IN, RISK
from qlib_shadow_runner.tables.conversion import convert
from qlib_shadow_runner.tables.rebuild import rebuild

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = int(os.environ.get("QLIB_SHADOW_CHAOS_PICKLES", "3000"))
SEED = random.randrange(1 << 30) if "QLIB_SHADOW_CHAOS_PICKLES" in os.environ else 5
REPOSITORY = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of real pickles, in several versions of the format."""
    folder = tmp_path_factory.mktemp("seeds")
    run = make_run(folder, shape=Shape(days=12, symbols=4))
    of_pandas = {RECORDED_IN[name] for name in (PREDICTIONS, IC, ACCOUNT, RISK)}
    for place, file in enumerate(FILES):
        path = artifacts_of(run) / file
        (folder / f"{place}-5.seed").write_bytes(path.read_bytes())
        for version in (2, 4) if file in of_pandas else ():
            again = pickle.dumps(pd.read_pickle(path), protocol=version)
            (folder / f"{place}-{version}.seed").write_bytes(again)
    return folder


def answers(path: Path) -> Iterator[bytes]:
    """Yield the answers that the process wrote."""
    content = path.read_bytes()
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        yield content[8 : 8 + size]
        content = content[8 + size :]


def test_random_pickles_change_nothing_and_end_with_a_sentence_or_a_table(seeds: Path):
    """In one process that reads them all, limited like the child; what it answers is rebuilt here."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.runner.pickles.fuzz", str(SEED), str(ROUNDS), str(seeds)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), SEED
    found = json.loads(done.stdout)
    assert (found["errors"], found["changed"], found["imported"]) == ([], [], []), SEED
    assert found["accepted"] + found["refused"] == ROUNDS
    assert found["accepted"] > ROUNDS // 100, "most of the accidents are small"
    tables = sum(len(rebuild(answer).found) for answer in answers(seeds / "answers"))
    assert tables > ROUNDS // 100


def test_random_pickles_in_a_run_folder_are_sentences_or_tables(seeds: Path, tmp_path: Path):
    """By the real child, which ends by itself."""
    pickles = programs(seeds, random.Random(SEED))
    for place in range(max(4, ROUNDS // 500)):
        folder = tmp_path / str(place)
        for file in FILES:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(next(pickles)[1])
        found = convert(tmp_path, folder)
        assert not any("the process that read it" in fault for fault in found.faults.values()), SEED
