"""The command lines of the cluster's components, with reasons for unusual settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from testcluster.binaries import PAUSE

if TYPE_CHECKING:
    from ipaddress import IPv4Address
    from pathlib import Path

    from testcluster.certificates import Authority

NODE_NAME = "node0"
PODS = "10.88.0.0/16"
SERVICES = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
API_PORT = 6443
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODE = ("containerd", "kubelet", "kube-proxy", "kube-router")

Commands = dict[str, list[str]]


def control_plane(state: Path, pki: Authority, address: IPv4Address) -> Commands:
    """Return the control plane's commands; it listens only on the sandbox's own addresses."""
    return {
        "etcd": [
            f"--data-dir={state}/scratch/etcd",
            "--unsafe-no-fsync",  # a cluster that lives for minutes need not survive a power cut
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
        ],
        "kube-apiserver": [
            "--etcd-servers=http://127.0.0.1:2379",
            f"--secure-port={API_PORT}",
            f"--advertise-address={address}",
            f"--tls-cert-file={pki.folder}/apiserver.crt",
            f"--tls-private-key-file={pki.folder}/apiserver.key",
            f"--client-ca-file={pki.certificate}",
            f"--service-account-key-file={pki.folder}/sa.key",
            f"--service-account-signing-key-file={pki.folder}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction,PodSecurity",
            "--allow-privileged=true",
            f"--kubelet-client-certificate={pki.folder}/admin.crt",
            f"--kubelet-client-key={pki.folder}/admin.key",
            "--kubelet-preferred-address-types=InternalIP",
            # Webhooks are asked at their pods' addresses: the sandbox has no route to those of services.
            "--enable-aggregator-routing=true",
        ],
        "kube-controller-manager": [
            f"--kubeconfig={pki.kubeconfig('controller-manager')}",
            f"--service-account-private-key-file={pki.folder}/sa.key",
            f"--root-ca-file={pki.certificate}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--pvclaimbinder-sync-period=1s",  # 15 s by default: every claim would wait for it
        ],
        "kube-scheduler": [f"--kubeconfig={pki.kubeconfig('scheduler')}", "--leader-elect=false"],
    }


def node(state: Path, pki: Authority, address: IPv4Address) -> Commands:
    """Write the node's configuration files and return its commands."""
    (state / "resolv.conf").write_text("")
    (state / "cni").mkdir()
    (state / "cni" / "10-pods.conflist").write_text(json.dumps(pod_network()))
    (state / "containerd.toml").write_text(containerd(state))
    (state / "kubelet.json").write_text(json.dumps(kubelet(state, pki)))
    (state / "kube-proxy.json").write_text(json.dumps(kube_proxy(pki)))
    return {
        "containerd": [f"--config={state}/containerd.toml"],
        "kubelet": [
            f"--config={state}/kubelet.json",
            f"--kubeconfig={pki.kubeconfig('kubelet')}",
            f"--root-dir={state}/kubelet",
            f"--cert-dir={state}/kubelet/pki",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={address}",
        ],
        "kube-proxy": [f"--config={state}/kube-proxy.json"],
        "kube-router": kube_router(pki),
    }


def kube_router(pki: Authority) -> list[str]:
    """Return kube-router's command: its firewall alone, which the network of pods is not part of."""
    return [
        "--run-firewall=true",
        "--run-router=false",
        "--run-service-proxy=false",
        "--run-loadbalancer=false",
        "--enable-cni=false",
        f"--kubeconfig={pki.kubeconfig('admin')}",
        f"--hostname-override={NODE_NAME}",
        f"--service-cluster-ip-range={SERVICES}",
        "--metrics-port=0",
    ]


def containerd(state: Path) -> str:
    """Return a containerd configuration that keeps everything in the sandbox's folder."""
    return f"""
version = 2
root = "{state}/scratch/containerd"
state = "{state}/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "{state}/containerd.sock"
[ttrpc]
  address = "{state}/containerd.ttrpc.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  # Where CAP_SYS_RESOURCE is missing, a container's score cannot be lowered.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{state}/cni"
"""


def pod_network() -> dict[str, object]:
    """Return one bridge for all pods; the sandbox has no external network, so pods have none."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge: dict[str, object] = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
    }
    bridge["ipam"] = ipam
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}


def kubelet(state: Path, pki: Authority) -> dict[str, object]:
    """Return a kubelet configuration for both versions of control groups and a nearly full disk."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{state.name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": f"unix://{state}/containerd.sock",
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "volumeStatsAggPeriod": "5s",  # how often it measures scratch folders; 1m by default
        "imageGCHighThresholdPercent": 100,  # no registry has the images; they must not be collected
        "podLogsDir": f"{state}/logs/pods",
        "resolvConf": f"{state}/resolv.conf",
        "volumePluginDir": f"{state}/kubelet/plugins-of-volumes",
        "tlsCertFile": f"{pki.folder}/kubelet.crt",
        "tlsPrivateKeyFile": f"{pki.folder}/kubelet.key",
        # Kernel settings and limits that may not be changed here are ignored instead of fatal.
        "featureGates": {"KubeletInUserNamespace": True},
    }


def kube_proxy(pki: Authority) -> dict[str, object]:
    """Return a kube-proxy configuration that leaves the connection table unchanged."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": PODS,
        "clientConnection": {"kubeconfig": str(pki.kubeconfig("kube-proxy"))},
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "hostnameOverride": NODE_NAME,
    }
