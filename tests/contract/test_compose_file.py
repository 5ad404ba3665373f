"""images/compose.yaml and its make targets: what the file declares, and the message without Docker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "images/compose.yaml"
DATA = "${QLIB_SHADOW_DATA:-../data}"
ARTIFACTS = "artifacts/trading-ops/qlib-shadow"


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    """Return the service."""
    [(name, found)] = yaml.safe_load(FILE.read_text())["services"].items()
    assert name == "qlib-runner"
    return dict(found)


def check(*files: Path) -> subprocess.CompletedProcess[str]:
    """Check files against the schema of Compose files, which is part of the checker."""
    command = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")
    return subprocess.run([*command, *files], capture_output=True, text=True, check=False)


def make(target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as a user does."""
    command = ("make", "--no-print-directory", target, *arguments)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_file_follows_the_schema(tmp_path: Path):
    """A file with a typo does not."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(FILE.read_text().replace("cap_drop", "capdrop"))
    told = check(FILE, wrong)
    assert told.returncode == 1
    assert "wrong.yaml::$.services['qlib-runner']" in told.stdout
    assert "'capdrop' was unexpected" in told.stdout
    assert str(FILE) not in told.stdout


def test_service_runs_as_the_user_who_starts_it(service: dict[str, Any]):
    """The user's ids, the working folder, and a login shell that gets one command line."""
    user, _, group = service["user"].partition("}:")
    assert (user.split(":?")[0], group.split(":?")[0]) == ("${UID", "${GID")
    assert (service["working_dir"], service["entrypoint"]) == ("/work", ["bash", "-lc"])
    assert "TZ=${TZ:-UTC}" in service["environment"]


def test_service_writes_only_to_data(service: dict[str, Any]):
    """Dataset and artifacts are the host's folders; the repository and the inbox are read-only."""
    places = {one["target"]: (one["source"], one.get("read_only", False)) for one in service["volumes"]}
    assert places == {
        "/data/qlib": (f"{DATA}/qlib", False),
        f"/data/{ARTIFACTS}": (f"{DATA}/{ARTIFACTS}", False),
        "/data/inbox": (f"{DATA}/inbox", True),
        "/repo": ("..", True),
    }
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [one.partition(":")[0] for one in service["tmpfs"]] == ["/tmp", "/work"]


def test_arguments_are_passed_through():
    """The command line inside equals the one typed outside; the training has no network."""

    def line(target: str) -> str:
        return make(target, "--dry-run", "RUN=my/run.yaml", "ARGS=--json", "DATA=/srv/data").stdout

    for target, inside in {
        "compose-run": "cd /repo && qlib-shadow run my/run.yaml --json",
        "compose-download": "cd /repo && qlib-shadow download my/run.yaml --json",
        "compose-qrun": "cd /repo && qlib-shadow run my/run.yaml --json",
        "compose-shell": "--json",
    }.items():
        assert line(target).rstrip().endswith(f"qlib-runner '{inside}'")
        assert 'QLIB_SHADOW_DATA="/srv/data"' in line(target)
        assert ("QLIB_SHADOW_NETWORK=none" in line(target)) is (target == "compose-qrun")
    assert "qlib-shadow run my/run.yaml --data /srv/data --json" in line("demo")


def test_quotes_are_passed_through(tmp_path: Path):
    """The whole line is one argument."""
    typed = """echo "it's" 'one, two' $$HOME | wc"""
    told = make("compose-shell", "COMPOSE=echo", f"ARGS={typed}", f"DATA={tmp_path}")
    assert told.stdout == f"-f images/compose.yaml run --rm -T qlib-runner {typed.replace('$$', '$')}\n"


@pytest.mark.parametrize("target", ["compose-run", "compose-download", "compose-qrun", "compose-shell"])
def test_compose_without_docker_is_one_sentence(target: str, tmp_path: Path):
    """It names what to install, and what needs no container; no folder was created."""
    refused = make(target, "COMPOSE=no-such-docker compose", f"DATA={tmp_path}/data")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[0] == (
        "no-such-docker compose does not answer; install Docker with its compose plugin, name another with"
        " COMPOSE=podman-compose, or use make demo, which needs no container"
    )
    assert not (tmp_path / "data").exists()
