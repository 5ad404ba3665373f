"""The cluster for measurements: its controllers have no rate limits, and it writes an audit log.

The audit log has user, call and time by the API server's clock, so that nothing needs to watch during a
measurement.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from kubernetes import client, config

from qlib_shadow_operator.kube.cluster import Cluster as Api
from testcluster import binaries, local
from testcluster.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testcluster.cluster import Cluster

MANIFESTS: Final = Path(__file__).parents[3] / "manifests"
NAMESPACE: Final = "bench"
CLAIM: Final = "qlib-shadow-data"
WITH_US: Final = ("setpriv", "--pdeathsig=TERM")
"""A command prefix: the command ends with this process, however that ends."""
PART: Final = "/O=system:serviceaccounts/CN="
"""The group gives them the same priority in the API server's queues as an operator in a pod."""
USERS: Final = {
    "operator": f"{PART}operator",
    "floor": f"{PART}floor",
    "person": "/O=system:masters/CN=person",
    "kwok": "/O=system:masters/CN=kwok",
}
UNHURRIED: Final = {
    "kube-controller-manager": (
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
        "--concurrent-job-syncs=20",
        "--terminated-pod-gc-threshold=100000",
    ),
    "kube-scheduler": ("--kube-api-qps=1000", "--kube-api-burst=2000"),
}
"""By default they make 20 to 50 calls a second, which would dominate the measurement."""
AUDIT_POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "Metadata", "users": ["operator", "floor", "person"]},
        {
            "level": "Metadata",
            "users": ["kwok"],
            "resources": [{"group": "", "resources": ["pods/status"]}],
        },
        {"level": "None"},
    ],
}


@dataclass(frozen=True)
class Place:
    """A cluster with a namespace for runs."""

    cluster: Cluster
    state: Path
    pki: Authority

    @property
    def audit_log(self) -> Path:
        """Return the file that the API server writes."""
        return self.state / "audit.log"

    def kubeconfig(self, user: str) -> Path:
        """Return a user's kubeconfig."""
        return self.pki.kubeconfig(user)

    def api(self, user: str, pool: int = 8) -> Api:
        """Connect as a user."""
        configuration = client.Configuration()
        config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=str(self.kubeconfig(user)), client_configuration=configuration
        )
        return Api.over(configuration, pool)


@contextmanager
def place(*, node: bool) -> Iterator[Place]:
    """Create a cluster, with or without a real node."""
    cluster = local.up(node=node)
    try:
        assert isinstance(cluster.machine, local.Local)
        state = cluster.machine.state
        found = Place(cluster, state, Authority(state / "pki", server_of(cluster)))
        reconfigure(found)
        furnish(found)
        yield found
    finally:
        cluster.down()


def server_of(cluster: Cluster) -> str:
    """Return the API server's address from the administrator's kubeconfig."""
    server: str = json.loads(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    return server


def reconfigure(place: Place) -> None:
    """Restart the control plane's components with an audit log and without rate limits."""
    policy = place.state / "audit-policy.json"
    policy.write_text(json.dumps(AUDIT_POLICY))
    audit = (f"--audit-policy-file={policy}", f"--audit-log-path={place.audit_log}")
    commands = json.loads((place.state / "commands.json").read_text())
    for part, flags in {"kube-apiserver": audit, **UNHURRIED}.items():
        commands[part] += flags
    (place.state / "commands.json").write_text(json.dumps(commands))
    for part in ("kube-apiserver", *UNHURRIED):
        place.cluster.kill(part)  # after SIGTERM an API server waits for its watches to end
        place.cluster.start(part)


def furnish(place: Place) -> None:
    """Create what an installation has: the CRD, a namespace, a policy, a claim, and the operator's rights."""
    for user, subject in USERS.items():
        place.pki.issue(user, subject)
    place.cluster.kubectl("apply", "--filename", str(MANIFESTS / "crd/qlibshadowruns.yaml"))
    place.cluster.wait_until_served("qlibshadowruns.qlibshadow.io")
    role = yaml.safe_load((MANIFESTS / "rbac/role.yaml").read_text())
    place.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    place.cluster.apply(
        role,
        bind("Role", role["metadata"]["name"], "operator"),
        bind("ClusterRole", "edit", "floor"),
        namespace=NAMESPACE,
    )
    place.cluster.apply(
        yaml.safe_load((MANIFESTS / "network-policy/qrun.yaml").read_text()), namespace=NAMESPACE
    )
    place.cluster.volume(NAMESPACE, CLAIM)


def bind(kind: str, role: str, user: str) -> dict[str, Any]:
    """Return a binding of a role to a user, in the namespace."""
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": user},
        "roleRef": {"apiGroup": group, "kind": kind, "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }


def load_stage_image(place: Place) -> None:
    """Load the image whose stages do nothing onto the node."""
    place.cluster.load_image(binaries.stage(), binaries.STAGE)
