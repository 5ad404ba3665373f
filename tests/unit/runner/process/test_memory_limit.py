"""A step's memory is held below its stage's limit, and what needs more ends in a sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from qlib_shadow_runner.contract import ENV_REQUEST, ExitCode, Reason, Stage
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.process import memory_limit
from qlib_shadow_runner.process.limits import Limits
from qlib_shadow_runner.process.memory_limit import memory_for_a_step, require_memory
from qlib_shadow_runner.process.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GIB = 1 << 30
ROW = b"2024-01-02,A,1,2,1,2,5\n"
HEAD = b"date,symbol,open,high,low,close,volume\n"


@pytest.mark.parametrize(
    ("limit", "machine", "size"),
    [(2 * GIB, 64 * GIB, 2 * GIB - GIB // 4), (None, 16 * GIB, 8 * GIB), (64 * GIB, 16 * GIB, 8 * GIB)],
    ids=["in a container", "on a laptop", "a limit above the machine"],
)
def test_step_may_take_what_its_stage_can_spare(limit: int | None, machine: int, size: int):
    """The stage itself needs some of the container's memory, and others need some of a laptop's."""
    assert memory_for_a_step(Limits(1, limit), machine) == size


def test_what_needs_too_much_is_refused_before_it_is_tried(monkeypatch: pytest.MonkeyPatch):
    """The sentence says how much, and what to raise."""
    monkeypatch.setattr(memory_limit, "held_memory", lambda: GIB)
    require_memory(GIB, "it")
    with pytest.raises(StageError) as caught:
        require_memory(2 * GIB, "bars.parquet")
    assert (caught.value.reason, caught.value.exit_code) == (Reason.OUT_OF_MEMORY, ExitCode.OUT_OF_MEMORY)
    assert caught.value.message == (
        "bars.parquet of about 2.0 GiB needs more memory than 1.0 GiB, which is what it may take here. "
        "Raise spec.stages.download.resources.limits.memory, or research fewer instruments or years."
    )


def run_step(place: Path, source: Mapping[str, object], kibibytes: int) -> dict[str, Any]:
    """Run the dataset step in so much memory; return its report."""
    report = place / "report.json"
    arguments = json.dumps({"canonical": str(place / "us"), "mount": str(place)})
    step = [sys.executable, "-P", "-m", "qlib_shadow_runner.stages.steps", "dataset", arguments, str(report)]
    command = ["sh", "-c", f'ulimit -d {kibibytes} && exec "$@"', "sh", *step]
    request = json.dumps({"runId": "demo", "spec": {"dataset": {"source": source}}})
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_NUM_THREADS"), "2")
    environ = {"PATH": os.environ["PATH"], ENV_REQUEST: request, **threads}
    for _ in range(5):
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        # In a few places Arrow ends the process where memory runs out; the stage tells it without the file.
        if done.returncode != -signal.SIGABRT:
            break
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(report.read_bytes())
    return found


@pytest.mark.parametrize("name", ["bars.csv", "bars.parquet"])
def test_prices_that_need_too_much_memory_are_named(name: str, tmp_path: Path):
    """Neither the kernel ends the step, nor is a whole file called damaged."""
    if name == "bars.csv":
        (tmp_path / name).write_bytes(HEAD + ROW * 4_000_000)
    else:
        write_parquet(tmp_path / name)
    found = run_step(tmp_path, {"prices": {"path": name}}, 300 * 1024)
    assert found["reason"] == Reason.OUT_OF_MEMORY, found
    assert found["message"].startswith(
        f"/data/{name} needs more memory than 300.0 MiB, which is what it may take"
    )


def write_parquet(path: Path) -> None:
    """Write a file whose dates take more memory than its rows let expect: each is a long text of its own."""
    import numpy as np  # noqa: PLC0415 - the one place
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    count, length, zero = 200_000, 800, ord("0")
    letters = np.full((count, length), zero, np.uint8)
    letters[:, :6] += (np.arange(count)[:, None] // 10 ** np.arange(6) % 10).astype(np.uint8)
    ends = np.arange(0, (count + 1) * length, length, dtype=np.int32)
    texts = pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(letters))
    ones = dict.fromkeys(("open", "high", "low", "close", "volume"), np.ones(count))
    table = pa.table({"date": texts, "symbol": pa.array(["A"] * count), **ones})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)


def test_small_prices_need_little_memory(tmp_path: Path):
    """The limit counts what is used, not what libraries reserve."""
    (tmp_path / "bars.csv").write_bytes(HEAD + ROW)
    found = run_step(tmp_path, {"prices": {"path": "bars.csv"}}, 300 * 1024)
    assert "folder" in found, found


def test_step_that_a_library_ends_ran_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Native code without a way to report it calls abort."""
    aborted = subprocess.run([sys.executable, "-c", "import os; os.abort()"], check=False)
    monkeypatch.setattr(Supervisor, "run", lambda *_, **__: aborted.returncode)
    with pytest.raises(StageError, match=r"the step dataset was ended by one of its libraries") as caught:
        Supervisor(Stage.DOWNLOAD).step("dataset", {}, environ={}, cwd=str(tmp_path))
    assert caught.value.reason is Reason.OUT_OF_MEMORY
