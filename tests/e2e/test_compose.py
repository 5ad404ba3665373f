"""The service of images/compose.yaml, run by Docker if it answers, else by Podman."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from compose_reader import composer
from installation import ROOT
from testcluster.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from compose_reader import Composer
    from testcluster.images import Images

pytestmark = pytest.mark.cluster

USER_ID = "12345"
TINY = {
    "apiVersion": "qlibshadow.io/v1alpha1",
    "kind": "QlibShadowRun",
    "metadata": {"name": "tiny"},
    "spec": {
        "dataset": {"source": {"synthetic": {"symbols": 20, "days": 400}}},
        "workflow": {"model": {"num_boost_round": 20}},
    },
}


@pytest.fixture(scope="module")
def compose(built_images: Images, tmp_path_factory: pytest.TempPathFactory) -> Composer:
    """Return the Compose program."""
    return composer(tmp_path_factory.mktemp("compose"), built_images)


@pytest.fixture
def theirs(tmp_path: Path) -> dict[str, str]:
    """Create folders of another user; return the variables that the file needs."""
    for name in ("qlib", "inbox", "artifacts/trading-ops/qlib-shadow"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name).chmod(0o777)
    return {"UID": USER_ID, "GID": USER_ID, "QLIB_SHADOW_DATA": str(tmp_path)}


def test_service_user_can_write_only_to_the_data(compose: Composer, theirs: dict[str, str], tmp_path: Path):
    """No root, no capabilities, the time zone, and Qlib on the login shell's path."""
    line = (
        "id -u; pwd; date +%Z; grep CapBnd /proc/self/status; command -v qrun;"
        " touch /data/qlib/mine /tmp/x /work/x; touch /x /repo/x /data/x /data/inbox/x 2>&1 | grep -c Read-o"
    )
    told = compose.run(line, **theirs, TZ="America/New_York").split()
    told = told[told.index(USER_ID) :]  # podman-compose first prints what it creates
    assert told[1] == "/work"
    assert told[2] in {"EST", "EDT"}
    assert told[3:] == ["CapBnd:", "0000000000000000", "/opt/venv/bin/qrun", "4"]
    assert (tmp_path / "qlib/mine").stat().st_uid == int(USER_ID)


def test_missing_user_is_refused(compose: Composer, theirs: dict[str, str]):
    """Without a user, the container would run as root; the message says where to look."""
    with pytest.raises(CommandError, match=r"see the top of images/compose\.yaml"):
        compose.run("true", **theirs | {"UID": ""})


@pytest.fixture
def manifest() -> Iterator[str]:
    """Write a tiny run below the repository, which the container can read."""
    file = ROOT / "data/tiny-in-compose.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(TINY))
    yield str(file.relative_to(ROOT))
    file.unlink()


def test_stages_run_in_order(compose: Composer, manifest: str, tmp_path: Path):
    """The targets create the folders; the outputs are on the host and are verified."""
    data = tmp_path / "data"
    told = compose.make("compose-download", RUN=manifest, DATA=str(data))
    assert "synthetic 21" in told
    assert (data / "qlib/qlib_data/us_data_1d/calendars/day.txt").is_file()
    document = json.loads(compose.make("compose-qrun", RUN=manifest, DATA=str(data), ARGS="--json"))
    assert document["exitCode"] == 0
    assert document["golden"]["passed"] is True
    [run] = (data / "artifacts/trading-ops/qlib-shadow").glob("tiny-*/metrics.json")
    listed = compose.make("compose-shell", DATA=str(data), ARGS="qlib-shadow runs --json")
    assert run.parent.name in listed
