"""The pages in a cluster, installed by the chart: runs without output are shown; none can be changed."""

from __future__ import annotations

import re
import subprocess
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, NamedTuple

import pytest

from operator_processes import define_runs
from release import CHART, Release
from testcluster import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testcluster import Cluster
    from testcluster.images import Images

pytestmark = pytest.mark.cluster
NAME = "pages-qlib-shadow-operator-ui"
TOKEN = "token-of-these-tests"
VALUES = ("crd.manage=never", "ui.enabled=true", "ui.showResources=true", "ui.tokenSecret=pages-token")


class Answer(NamedTuple):
    """A page's status and text."""

    status: int
    text: str


@pytest.fixture(scope="module")
def release(cluster: Cluster, helm: Path, images: Images) -> Iterator[Release]:
    """Install the chart with the pages, and create a run that is suspended before it starts."""
    define_runs(cluster)
    release = Release(cluster, helm, images, "pages")
    release.prepare()
    release.kubectl("create", "secret", "generic", "pages-token", f"--from-literal=token={TOKEN}")
    release.put(CHART, *(f"--set={value}" for value in VALUES))
    release.run("held", suspend=True)
    held = "--for=jsonpath={.status.phase}=Suspended"
    release.kubectl("wait", "qsr/held", held, f"--timeout={PATIENCE}s")
    yield release
    release.helm("uninstall", release.name, "--wait", f"--timeout={PATIENCE}s")
    cluster.kubectl("delete", "namespace", release.name, "--wait=false")


@pytest.fixture(scope="module")
def port(release: Release) -> Iterator[int]:
    """Yield a port to the pages as docs/ui.md says: through kubectl port-forward, to the Service."""
    release.kubectl("rollout", "status", f"deployment/{NAME}", f"--timeout={PATIENCE}s")
    with forwarded(release) as found:
        yield found


@contextmanager
def forwarded(release: Release) -> Iterator[int]:
    """Forward a free port of this machine."""
    program, kubeconfig = release.cluster.kubectl_program, release.cluster.kubeconfig
    where = (f"--kubeconfig={kubeconfig}", f"--namespace={release.name}", "--address=127.0.0.1")
    command = (str(program), *where, "port-forward", f"service/{NAME}", ":80")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"Forwarding from 127\.0\.0\.1:(\d+)", said)
        try:
            assert found, said
            yield int(found[1])
        finally:
            process.terminate()


def ask(port: int, method: str = "GET", path: str = "/runs", token: str = TOKEN) -> Answer:
    """Request a page, with the token that a program sends."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return Answer(answer.status, answer.read().decode())


def test_run_without_output_is_shown(port: int):
    """With its state and the resource's message; there is no page of it to follow."""
    status, text = ask(port)
    assert status == 200
    assert re.search(r'<th scope="row">held-[0-9a-f]{8}</th>', text), text
    assert '<span class="badge suspended">suspended</span>' in text
    assert "spec.suspend" in text
    assert 'class="banner"' not in text
    assert ask(port, path="/runs/held").status == 404


def test_token_is_required(port: int):
    """Without a token, and with a wrong one, access is refused."""
    for token in ("", "of-another-installation"):
        status, text = ask(port, token=token)
        assert (status, "held" in text) == (401, False)


def test_pages_are_read_only(port: int, release: Release):
    """They answer no other method, and their account may only list runs."""
    assert ask(port, "POST").status == 405
    account = f"--as=system:serviceaccount:{release.name}:{NAME}"

    def may(verb: str, what: str, *part: str) -> bool:
        return release.kubectl("auth", "can-i", verb, what, account, *part, check=False).strip() == "yes"

    verbs = ("get", "list", "watch", "create", "update", "patch", "delete")
    runs = "qlibshadowruns.qlibshadow.io"
    assert [verb for verb in verbs if may(verb, runs)] == ["get", "list", "watch"]
    assert not may("patch", runs, "--subresource=status")
    assert not [what for what in ("secrets", "pods", "jobs.batch", "configmaps") if may("get", what)]


def test_missing_right_is_shown_on_the_page(port: int, release: Release):
    """The known runs are still shown, below the error."""
    release.kubectl("delete", "rolebinding", NAME)

    def told() -> str:
        text = ask(port).text
        return text if 'class="banner"' in text else ""

    text = wait_for(told, PATIENCE, "the pages to be told that they may not ask")
    assert "the API server answered 403" in text
    assert "held" in text
