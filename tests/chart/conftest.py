"""Fixtures that render and install the chart."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from testcluster.commands import run

CHART = Path(__file__).parents[2] / "helm/qlib-shadow-operator"
Objects = dict[tuple[str, str], dict[str, Any]]
Render = Callable[..., Objects]
Install = Callable[..., str]
KINDS: Final = {
    "v1": ["PersistentVolumeClaim", "ServiceAccount"],
    "apps/v1": ["Deployment"],
    "batch/v1": ["CronJob"],
    "networking.k8s.io/v1": ["NetworkPolicy"],
    "rbac.authorization.k8s.io/v1": ["Role", "RoleBinding"],
    "apiextensions.k8s.io/v1": ["CustomResourceDefinition"],
}


def by_place(text: str) -> Objects:
    """Return documents by kind and namespace/name."""
    found: Objects = {}
    for one in filter(None, yaml.safe_load_all(text)):
        meta = one["metadata"]
        place = f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else meta["name"]
        assert (one["kind"], place) not in found, "two objects would be one"
        found[one["kind"], place] = one
    return found


@pytest.fixture(scope="session")
def render(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render the chart with values, as objects by kind and name."""
    folder = tmp_path_factory.mktemp("values")

    def with_values(release: str = "us", **values: Any) -> Objects:
        given = folder / "values.json"
        given.write_text(json.dumps(values))
        arguments = (release, CHART, "--namespace=research", "--kube-version=1.34.0", f"--values={given}")
        return by_place(run(helm, "template", *arguments))

    return with_values


class Namespaced(BaseHTTPRequestHandler):
    """An empty API server that refuses access to cluster-scoped objects."""

    def do_GET(self) -> None:
        """Answer a request of helm's."""
        path = self.path.partition("?")[0]
        version = path.removeprefix("/apis/").removeprefix("/api/")
        if path == "/version":
            self.answer(200, {"major": "1", "minor": "34", "gitVersion": "v1.34.0"})
        elif path == "/api":
            self.answer(200, {"kind": "APIVersions", "versions": ["v1"]})
        elif path == "/apis":
            versions = {one.partition("/")[0]: [{"groupVersion": one, "version": "v1"}] for one in KINDS}
            groups = [{"name": name, "versions": of} for name, of in versions.items() if name != "v1"]
            self.answer(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        elif version in KINDS:
            resources = [
                {"name": plural(kind), "kind": kind, "verbs": ["get"], "namespaced": kind[:6] != "Custom"}
                for kind in KINDS[version]
            ]
            self.answer(200, {"kind": "APIResourceList", "groupVersion": version, "resources": resources})
        elif "/namespaces/" in path:
            self.answer(404, {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404})
        else:
            why = f"{path} is forbidden"
            status = {"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403}
            self.answer(403, {**status, "message": why})

    def answer(self, code: int, body: dict[str, Any]) -> None:
        """Send JSON."""
        content = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def plural(kind: str) -> str:
    """Return a kind's plural as in URLs."""
    return (f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s").lower()


@pytest.fixture(scope="session")
def install(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """Try an installation with values, without rights in the cluster; return what helm says."""
    home = tmp_path_factory.mktemp("home")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Namespaced)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    kubeconfig = {
        "clusters": [{"name": "empty", "cluster": {"server": address}}],
        "contexts": [{"name": "empty", "context": {"cluster": "empty"}}],
        "current-context": "empty",
    }
    (home / "kubeconfig").write_text(json.dumps(kubeconfig))

    def with_values(**values: Any) -> str:
        given = home / "values.json"
        given.write_text(json.dumps(values))
        arguments = ("us", CHART, "--namespace=research", f"--kubeconfig={home / 'kubeconfig'}")
        more = ("--dry-run=server", "--disable-openapi-validation", f"--values={given}")
        return run(helm, "install", *arguments, *more, env={"HOME": str(home)})

    yield with_values
    server.shutdown()
    server.server_close()
