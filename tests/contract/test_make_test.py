"""`make test`: every suite runs to its end and is reported, whatever the others do."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EVERYTHING = ROOT / "tests/everything.py"


def command(lint: str, unit: str, cluster: str, parts: str = "true") -> list[str]:
    """Return the command line that runs three shell scripts as the suites, and one for the parts."""
    scripts = {"lint": lint, "unit": unit, "cluster-test": cluster, "parts": parts}
    given = [f"--{name}=sh -c {shlex.quote(script)}" for name, script in scripts.items()]
    return [sys.executable, str(EVERYTHING), *given]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((0, 0, 0), 0),
        ((1, 0, 0), 1),
        ((0, 1, 0), 1),
        ((0, 0, 1), 1),
        ((2, 1, 3), 1),
        ((0, 5, 0), 0),
        ((0, 0, 5), 0),
        ((0, 5, 5), 1),
        ((0, 5, 1), 1),
    ],
)
def test_every_suite_runs_and_any_failure_fails_the_whole(codes: tuple[int, int, int], expected: int):
    """Pytest's 5 means that no test is selected, which fails only if no suite has one."""
    scripts = [f"echo all of {name}; exit {code}" for name, code in zip("abc", codes, strict=True)]
    done = subprocess.run(command(*scripts), capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stderr
    shown, report = done.stdout.split("\nmake test:\n")
    assert [line for line in shown.splitlines() if line.startswith("all of ")] == [
        "all of a",
        "all of b",
        "all of c",
    ]
    words = {0: "passed", 5: "no test is selected"}
    assert [line.split(maxsplit=1) for line in report.splitlines()] == [
        [name, words.get(code, f"FAILED with exit code {code}")]
        for name, code in zip(("lint", "unit", "cluster-test"), codes, strict=True)
    ]


def test_the_clusters_tests_run_beside_the_others(tmp_path: Path):
    """The unit tests of this test end only when the cluster's have begun, and the other way round."""
    to_unit, to_cluster = tmp_path / "to-unit", tmp_path / "to-cluster"
    os.mkfifo(to_unit)
    os.mkfifo(to_cluster)
    unit = f"read line < {to_unit}; echo unit met $line; echo unit > {to_cluster}"
    cluster = f"echo cluster > {to_unit}; read line < {to_cluster}; echo cluster met $line"
    done = subprocess.run(command("true", unit, cluster), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "unit met cluster\ncluster met unit\n" in done.stdout


def test_ending_it_ends_the_suites(tmp_path: Path):
    """A suite removes its fixtures after SIGTERM, and is waited for."""
    script = f"trap 'echo down >> {tmp_path}/log; exit 3' TERM; echo up >> {tmp_path}/log; sleep 600 & wait"
    with subprocess.Popen(command("true", script, script), stdout=subprocess.PIPE) as process:
        while not (tmp_path / "log").exists() or (tmp_path / "log").read_text().count("up") < 2:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM
    assert sorted((tmp_path / "log").read_text().split()) == ["down", "down", "up", "up"]


def test_parts_are_made_beside_the_suites_and_decide_nothing(tmp_path: Path):
    """The tests that need them try again; what is still being made at the end is given up."""
    (tmp_path / "begun").touch()
    unit = f"while test -e {tmp_path}/begun; do sleep 0.05; done"
    parts = f"trap 'touch {tmp_path}/ended; exit 1' TERM; rm {tmp_path}/begun; sleep 600 & wait"
    done = subprocess.run(command("true", unit, "true", parts), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "parts" not in done.stdout
    assert (tmp_path / "ended").exists()


def test_no_unit_test_needs_a_cluster():
    """The cluster's suite does not collect tests/unit."""
    found = [path for path in (ROOT / "tests/unit").rglob("*.py") if "mark.cluster" in path.read_text()]
    assert found == []


def test_make_passes_its_arguments_on():
    """To both test suites, with spaces and quotes, and without running anything in a dry run."""
    typed = ("make", "--dry-run", "--jobs=4", "test", "ARGS=-k 'this or that'")
    done = subprocess.run(typed, cwd=ROOT, capture_output=True, text=True, check=True)
    _, *words = shlex.split(done.stdout.replace("\\\n", ""))
    given = [
        shlex.split(word.partition("=")[2]) for word in words if word.startswith(("--unit", "--cluster"))
    ]
    assert [one[-2:] for one in given] == [["-k", "this or that"]] * 2
    assert not done.stderr
