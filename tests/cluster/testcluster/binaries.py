"""Kubernetes, kubectl, etcd and the pause image, compiled from pinned Go modules and kept in the cache."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from hashlib import sha256
from pathlib import Path

from testcluster import cache, toolchain
from testcluster.commands import say

VERSION = "v1.34.4"
MODULES = Path(__file__).parent.parent / "go"
PAUSE = "localhost/pause:1"
STAGE = "localhost/stage:1"
X86_64 = b"\x3e\x00"
"""The processor's number in a program's header."""
PAUSE_ARCHIVE = "pause.tar"


def kubernetes() -> Path:
    """Return the folder with kube-apiserver, its companions, kubelet and kubectl."""

    def make(folder: Path) -> None:
        say("compiling Kubernetes; 5 to 9 minutes the first time, then kept")
        toolchain.build(MODULES / "kubernetes", folder, f"-ldflags=-s -w {stamps()}", "tool")

    return cache.keep("kubernetes", key("kubernetes"), make)


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


def key(module: str) -> str:
    """Return the hash of what a module's binaries depend on: its sources and their checksums."""
    return cache.digest([VERSION, *sorted(path for path in (MODULES / module).iterdir() if path.is_file())])


def stamps() -> str:
    """Return linker flags for the version that `kubectl version` and the node report."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    values = {"gitVersion": VERSION, "gitMajor": major, "gitMinor": minor}
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
