"""The cluster, the images and a namespace of one's own, for the tests that ask for them."""

from __future__ import annotations

import contextlib
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from uuid import uuid4

import pytest

from testcluster import Cluster, UnavailableError, binaries, local, provider, waiting
from testcluster import images as project_images
from testcluster.cluster import Borrowed
from testcluster.images import Image, Images

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from playwright.sync_api import Browser

LOGS = Path(__file__).parent / "cluster" / ".logs" / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
FAILED = pytest.StashKey[bool]()
GIVEN_IMAGES = ("QLIB_SHADOW_TEST_RUNNER_IMAGE", "QLIB_SHADOW_TEST_OPERATOR_IMAGE")
LATE = ("test_kueue.py", "test_network.py")
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the user name a cluster."""
    parser.addoption(
        "--kubeconfig",
        type=Path,
        default=os.environ.get(provider.KUBECONFIG),
        help=f"test against this cluster instead of making one (or set {provider.KUBECONFIG})",
    )


def pytest_configure() -> None:
    """Make `kill` end a session as Ctrl-C does: fixtures are taken down."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=128 + signal.SIGTERM))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the images: the first time, one process builds them while another compiles Kubernetes.

    End with the modules whose parts are compiled meanwhile.
    """
    items.sort(key=lambda item: (item.path.name in LATE, item.path.name != "test_images.py"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember on a test that it failed, for the fixtures that keep logs."""
    report = yield
    del call
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@contextlib.contextmanager
def available() -> Iterator[None]:
    """Skip what this machine cannot do."""
    try:
        yield
    except UnavailableError as why:
        unavailable(why)


def unavailable(why: UnavailableError) -> NoReturn:
    """Skip what this machine cannot do, but never in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"in CI nothing is skipped: {why}", pytrace=False)
    pytest.skip(str(why))


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Lend a cluster with one node; its logs are kept if a test fails."""
    lease = provider.obtain(request.config.getoption("--kubeconfig"))
    with available():
        lent = lease.__enter__()
    try:
        yield lent
        if request.session.testsfailed:
            lent.machine.keep_logs(LOGS)
    finally:
        lease.__exit__(None, None, None)


@pytest.fixture(scope="session")
def start_control_plane() -> Iterator[Callable[[], Cluster]]:
    """Lend a way to start a control plane of one's own, without a node; it ends with the session."""
    started: list[Cluster] = []

    def start() -> Cluster:
        with available():
            started.append(provider.up(node=False))
        return started[-1]

    yield start
    for one in started:
        one.down()


@pytest.fixture(scope="module")
def own_cluster(request: pytest.FixtureRequest) -> Iterator[Callable[..., Cluster]]:
    """Lend a way to start a cluster of one module's own, with a node, which ends with the module.

    It is for what would disturb tests that share a cluster, or is not installed into one that was given.
    """
    started: list[Cluster] = []

    def start(*, policies: bool = False) -> Cluster:
        with available():
            started.append(local.up(policies=policies))
        return started[-1]

    yield start
    for one in started:
        if request.session.testsfailed:
            one.machine.keep_logs(LOGS / request.node.name)
        one.down()


@pytest.fixture(scope="session")
def built_images() -> Images:
    """Build both images; no cluster needed."""
    with available():
        return project_images.build()


@pytest.fixture(scope="session")
def images(cluster: Cluster, request: pytest.FixtureRequest) -> Images:
    """Bring both images onto the node; a cluster that was given pulls those that were given with it."""
    if isinstance(cluster.machine, Borrowed):
        if missing := [name for name in GIVEN_IMAGES if name not in os.environ]:
            unavailable(
                UnavailableError(f"a cluster was given; name the images to test in {', '.join(missing)}")
            )
        return Images(*(Image(os.environ[name], Path(os.devnull)) for name in GIVEN_IMAGES))
    built: Images = request.getfixturevalue("built_images")
    for image in (built.runner, built.operator):
        cluster.load_image(image.archive, image.reference)
    return built


@pytest.fixture(scope="session")
def helm() -> Path:
    """Give helm, compiled from its pinned module."""
    with available():
        return binaries.helm()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Lend a headless browser to the tests of one module; each opens pages in a context of its own."""
    from tests import chromium  # noqa: PLC0415 - few tests look with it

    with available():
        chromium.program()
    with chromium.started() as lent:
        yield lent


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """Lend a namespace that admits restricted pods alone; its state is kept if the test fails."""
    name = f"test-{uuid4().hex[:8]}"
    metadata = {"name": name, "labels": RESTRICTED}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    waiting.wait_for(
        lambda: cluster.get("serviceaccount", "default", f"--namespace={name}"),
        waiting.PATIENCE,
        "its service account",
    )
    yield name
    if request.node.stash.get(FAILED, False):
        keep_state(cluster, name, LOGS / request.node.name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")
    cluster.kubectl(
        "delete", "persistentvolume", f"--selector=qlibshadow.io/test-namespace={name}", "--wait=false"
    )


def keep_state(cluster: Cluster, namespace: str, folder: Path) -> None:
    """Write down what is in a namespace, its events, and the logs of its pods."""
    folder.mkdir(parents=True, exist_ok=True)
    inside = f"--namespace={namespace}"
    for kind in ("all", "events", "persistentvolumeclaims", "qlibshadowruns"):
        listed = cluster.kubectl("get", kind, inside, "--output=yaml", "--ignore-not-found", check=False)
        (folder / f"{kind}.yaml").write_text(listed)
    for pod in cluster.get("pods", inside).get("items", []):
        name = pod["metadata"]["name"]
        logs = cluster.kubectl("logs", name, inside, "--all-containers", check=False)
        (folder / f"{name}.log").write_text(logs)
