"""Any number in a flag, a variable, a query or a file of the kernel ends in a sentence, or is taken."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Final

import pytest
from tests.unit.runner.catalog.volumes import SmallVolume
from tests.unit.runner.hostile.hostile_values import DATES, DIGITS, LETTERS, LONGEST, NUMBERS, is_seen, some

from qlib_shadow_runner.cache.places import ENV_LIMIT, limit_for_children
from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.process.limits import peak_memory, read_limits
from qlib_shadow_runner.ui.api_server import RunApi

if TYPE_CHECKING:
    from pathlib import Path

LONG_NAME: Final = "n" * 5_000
VALUES: Final = (*NUMBERS, *DATES, *LETTERS, LONG_NAME, "", " ", "--", "/", "\udcff")
COMMANDS: Final = (
    "prune --keep {}",
    "prune --older-than {}",
    "prune --max-size {}",
    "prune --max-size {}G",
    "cache clear --max-size {}",
    "ui --port {}",
    "ui --host {}",
    "ui --token-file {}",
    "runs --sort {}",
    "runs --data {}",
    "show {}",
    "verify {}",
    "compare {} {}",
    "report nightly-1 --output {}",
    "report nightly-1 --png {}",
    "validate {}",
    "run {}",
    "run run.yaml --template {}",
    "render {}",
    "stage {}",
    "completion {}",
    "{}",
    "query {}",
    "models --recipe {}",
    "snapshot --series {}",
    "snapshot --out {}",
    "trend --series {}",
    "trend --weeks {}",
)
SQL: Final = (
    "select {}",
    "select '{}'",
    "select cast('{}' as date)",
    "select cast('{}' as timestamp)",
    "select cast('{}' as double)",
    "select interval '{}' day",
    "select date '2020-01-01' + {}",
    "select * from runs where ic > {}",
    "select * from runs where dataset_end > '{}'",
    "select * from signals limit {}",
    'select {} as "{}"',
    "select ['{}', 'a'], {{'k': '{}'}}, map {{'{}': 1}}",
    "explain select {}",
    "select * from {}",
)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> SmallVolume:
    """Return a volume with two runs."""
    small = SmallVolume(tmp_path_factory.mktemp("numbers") / "data")
    small.add_dataset(64)
    small.add_run("nightly-1", 60)
    small.add_run("nightly-2", 61)
    return small


def fault(code: int, output: str) -> str | None:
    """Return what is wrong with how a command ended, or None."""
    told = max(map(len, output.splitlines() or [""])) <= LONGEST and is_seen(output)
    known = "InternalError" not in output and "Traceback" not in output
    return None if told and known and code in {0, 1, 2, 10, 11} else f"{code}: {output[:400]!r}"


def test_any_value_on_the_command_line_is_taken_or_told_in_one_sentence(
    volume: SmallVolume,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """Numbers, and names that are too long for a file system."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QLIB_SHADOW_DATA", str(volume.data))
    (tmp_path / "run.yaml").write_text(
        "apiVersion: qlibshadow.io/v1alpha1\nkind: QlibShadowRun\nmetadata: {name: demo}\n"
        "spec: {workflow: {configMapRef: {name: mine}}}\n"
    )
    faults = []
    for command, value in some(list(product(COMMANDS, VALUES)), 80):
        if command.startswith("ui --port") and value.strip() in {"-0", "0"}:
            continue  # a free port: it would serve
        words = [word.replace("{}", value) for word in command.split(" ")]
        try:
            code = main(words)
        except SystemExit as ended:  # --help
            code = int(str(ended.code))
        output = capsys.readouterr()
        if told := fault(code, output.out + output.err):
            faults.append((command, value[:40], told))
    assert not faults, "\n".join(map(str, faults))


def test_any_value_in_a_query_is_taken_or_told_in_one_sentence(
    volume: SmallVolume, capsys: pytest.CaptureFixture[str]
):
    """As a table, as CSV and as JSON, which stays JSON."""
    faults = []
    forms: list[list[str]] = [[], ["--csv"], ["--json"]]
    for sql, value, form in some(list(product(SQL, VALUES, forms)), 25):
        code = main(["query", sql.replace("{}", value), "--data", str(volume.data), *form])
        output = capsys.readouterr()
        told = fault(code, output.err if code == 0 else output.out + output.err)
        if form == ["--json"]:
            json.loads(output.out)
        if told or not is_seen(output.out):
            faults.append((sql, value[:40], form, told, output.out[:200]))
    assert not faults, "\n".join(map(str, faults))


@pytest.mark.parametrize("text", [*VALUES, "max 100000", "100000 0", "0 100000", f"{DIGITS} 100000", "--5"])
def test_numbers_of_the_kernel_that_are_none_limit_nothing(text: str, tmp_path: Path):
    """In either version of cgroups, a file with anything else in it is as a file that is not there."""
    v1 = ("memory/memory.limit_in_bytes", "memory/memory.max_usage_in_bytes", "cpu/cpu.cfs_quota_us")
    for name in ("cpu.max", "memory.max", "memory.peak", *v1, "cpu/cpu.cfs_period_us"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode(errors="surrogateescape"))
    limits, peak = read_limits(tmp_path, affinity=4), peak_memory(tmp_path)
    assert 0 < limits.cpus <= 4
    assert limits.memory_bytes is None or limits.memory_bytes > 0
    assert peak.size > 0


@pytest.mark.parametrize("value", [DIGITS, "9" * 19, "²", "٣", "1e9", "-1", "1_000"])
def test_limit_of_the_cache_that_is_no_number_of_bytes_is_refused(value: str):
    """Before the training begins, and not in it, which would be repeated."""
    with pytest.raises(StageError, match="must be a whole number of bytes") as caught:
        limit_for_children({ENV_LIMIT: value})
    assert (caught.value.reason, len(caught.value.message) < LONGEST) == (Reason.INVALID_SPEC, True)


@pytest.mark.parametrize("port", [DIGITS, "²", "-1", "x"])
def test_port_of_the_cluster_that_is_none_is_refused(port: str, tmp_path: Path):
    """Its variable may be another Service's."""
    (tmp_path / "namespace").write_text("here")
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": port}
    with pytest.raises(StageError, match="this is not a pod"):
        RunApi.of_pod(environ, tmp_path)
