"""Kubernetes, Kueue, kube-router and more, compiled from pinned Go modules and kept in the cache."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tempfile
from hashlib import sha256
from pathlib import Path

from testcluster import cache, toolchain
from testcluster.commands import run, say
from testcluster.errors import TestClusterError

KUBERNETES = "KUBERNETES"
"""The environment variable that chooses the version of Kubernetes."""
OLDEST = "1.34.4"
"""The version without a choice: what works on the oldest is expected to work on newer ones."""
MODULES = Path(__file__).parent.parent / "go"
PAUSE = "localhost/pause:1"
STAGE = "localhost/stage:1"
KUEUE = "localhost/kueue:1"
KUEUE_MODULE = "sigs.k8s.io/kueue"
KUEUE_ARCHIVE = "kueue.tar"
X86_64 = b"\x3e\x00"
"""The processor's number in a program's header."""
PAUSE_ARCHIVE = "pause.tar"


def version() -> str:
    """Return the chosen version of Kubernetes, or the oldest."""
    chosen = (os.environ.get(KUBERNETES) or OLDEST).removeprefix("v")
    known = sorted(path.name for path in (MODULES / "kubernetes").iterdir())
    if chosen not in known:
        raise TestClusterError(f"{KUBERNETES}={chosen} is not known; write one of {', '.join(known)}")
    return chosen


def kubernetes() -> Path:
    """Return the folder with kube-apiserver, its companions, kubelet and kubectl."""
    chosen = version()
    module = f"kubernetes/{chosen}"

    def make(folder: Path) -> None:
        say(f"compiling Kubernetes {chosen}; 5 to 9 minutes the first time, then kept")
        toolchain.build(MODULES / module, folder, f"-ldflags=-s -w {stamps(chosen)}", "tool")

    return cache.keep("kubernetes", key(module, chosen), make)


def etcd() -> Path:
    """Return the folder with etcd; Debian's own lacks features that recent clients need."""

    def make(folder: Path) -> None:
        say("compiling etcd; under a minute, then kept")
        toolchain.build(MODULES / "etcd", folder / "etcd", "-ldflags=-s -w", "go.etcd.io/etcd/server/v3")

    return cache.keep("etcd", key("etcd"), make)


def helm() -> Path:
    """Return the helm program, for the chart."""

    def make(folder: Path) -> None:
        say("compiling helm; two to three minutes the first time, then kept")
        toolchain.build(MODULES / "helm", folder / "helm", "-ldflags=-s -w", "helm.sh/helm/v3/cmd/helm")

    return cache.keep("helm", key("helm"), make) / "helm"


def actionlint() -> Path:
    """Return actionlint, which reads the workflows of CI and release."""

    def make(folder: Path) -> None:
        say("compiling actionlint; under a minute, then kept")
        source = "github.com/rhysd/actionlint/cmd/actionlint"
        toolchain.build(MODULES / "actionlint", folder / "actionlint", "-ldflags=-s -w", source)

    return cache.keep("actionlint", key("actionlint"), make) / "actionlint"


def promql() -> Path:
    """Return a program that asks Prometheus' own engine, for the chart's alerts and dashboard."""

    def make(folder: Path) -> None:
        say("compiling Prometheus' query engine; under a minute, then kept")
        toolchain.build(MODULES / "promql", folder / "promql", "-ldflags=-s -w", ".")

    return cache.keep("promql", key("promql"), make) / "promql"


def health() -> Path:
    """Return a program that judges objects as Argo CD and Flux do, for the health checks of the docs."""

    def make(folder: Path) -> None:
        say("compiling the engines of Argo CD's and Flux' health checks; half a minute, then kept")
        toolchain.build(MODULES / "health", folder / "health", "-ldflags=-s -w", ".")

    return cache.keep("health", key("health"), make) / "health"


def kwok() -> Path:
    """Return kwok, which plays nodes and pods, for the operator's benchmark."""

    def make(folder: Path) -> None:
        say("compiling kwok; two to five minutes the first time, then kept")
        toolchain.build(MODULES / "kwok", folder / "kwok", "-ldflags=-s -w", "sigs.k8s.io/kwok/cmd/kwok")

    return cache.keep("kwok", key("kwok"), make) / "kwok"


def kueue() -> Path:
    """Return the folder with an image of Kueue's controller, KUEUE_ARCHIVE, and its manifests, `config`."""

    def make(folder: Path) -> None:
        say("compiling Kueue; three to eight minutes the first time, then kept")
        with tempfile.TemporaryDirectory() as scratch:
            program = Path(scratch) / "manager"  # as Kueue's own Deployment calls it
            toolchain.build(MODULES / "kueue", program, "-ldflags=-s -w", f"{KUEUE_MODULE}/cmd/kueue")
            write_image(folder / KUEUE_ARCHIVE, program, KUEUE)
        sources = run(toolchain.go(), "list", "-m", "-f", "{{.Dir}}", KUEUE_MODULE, cwd=MODULES / "kueue")
        # Files of the module cache are read-only; contents alone are copied.
        shutil.copytree(Path(sources.strip()) / "config", folder / "config", copy_function=shutil.copyfile)
        for copied in (folder / "config", *(folder / "config").rglob("*/")):
            copied.chmod(0o755)

    return cache.keep("kueue", key("kueue"), make)


def kube_router() -> Path:
    """Return the folder with kube-router, which enforces network policies on the node."""

    def make(folder: Path) -> None:
        say("compiling kube-router; two to five minutes the first time, then kept")
        source = "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"
        toolchain.build(MODULES / "kube-router", folder / "kube-router", "-ldflags=-s -w", source)

    return cache.keep("kube-router", key("kube-router"), make)


def pause() -> Path:
    """Return the archive of the pause image, which needs no registry."""

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            program = Path(scratch) / "pause"
            toolchain.build(MODULES / "pause", program, "-ldflags=-s -w", ".")
            write_image(folder / PAUSE_ARCHIVE, program, PAUSE)

    return cache.keep("pause", key("pause"), make) / PAUSE_ARCHIVE


def stage() -> Path:
    """Return the archive of an image whose stages succeed at once."""

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            program = Path(scratch) / "stage"
            toolchain.build(MODULES / "stage", program, "-ldflags=-s -w", ".")
            write_image(folder / "stage.tar", program, STAGE)

    return cache.keep("stage", key("stage"), make) / "stage.tar"


def key(module: str, kubernetes: str = OLDEST) -> str:
    """Return the hash of what a module's binaries depend on: its sources and their checksums."""
    sources = sorted(path for path in (MODULES / module).iterdir() if path.is_file())
    return cache.digest([f"v{kubernetes}", *sources])


def stamps(kubernetes: str) -> str:
    """Return linker flags for the version that `kubectl version` and the node report."""
    major, minor, _ = kubernetes.split(".")
    values = {"gitVersion": f"v{kubernetes}", "gitMajor": major, "gitMinor": minor}
    return " ".join(
        f"-X {package}.{name}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in values.items()
    )


def write_image(archive: Path, program: Path, reference: str) -> None:
    """Write a docker-archive with one layer that holds one program."""
    layer = tar({program.name: program.read_bytes()})
    config = {
        "architecture": "amd64" if program.read_bytes()[18:20] == X86_64 else "arm64",
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    files = {
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    archive.write_bytes(tar(files))


def tar(files: dict[str, bytes]) -> bytes:
    """Return an archive of the files, all executable."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
