"""The Compose program for images/compose.yaml: Docker if it answers, else Podman with buildah's images."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from installation import ROOT
from testcluster import cache, kind, packages
from testcluster.commands import run
from testcluster.toolchain import installer

if TYPE_CHECKING:
    from testcluster.images import Images

LOCK = Path(__file__).parent / "podman-compose.lock"
STORAGE = """
[storage]
driver = "overlay"
graphroot = "{scratch}/podman"
runroot = "{scratch}/podman-run"
[storage.options]
additionalimagestores = ["{images}"]
[storage.options.overlay]
skip_mount_home = "true"
"""
"""A separate store, so that nothing is written to the images; without a mount that would be left behind."""
LIMITS = '[containers]\ndefault_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]\n'
"""Podman's own limits cannot be set where rlimits may not be raised."""


@dataclass(frozen=True)
class Composer:
    """A Compose program, and the environment that it needs."""

    program: str
    env: dict[str, str] = field(default_factory=dict)

    def make(self, target: str, **variables: str) -> str:
        """Run a make target, as a user does."""
        given = [f"COMPOSE={self.program}", *(f"{name}={value}" for name, value in variables.items())]
        return run("make", "--no-print-directory", target, *given, cwd=ROOT, env=self.env)

    def run(self, line: str, **env: str) -> str:
        """Run a command line in the service, without make."""
        command = (*shlex.split(self.program), "-f", "images/compose.yaml", "run", "--rm", "-T")
        return run(*command, "qlib-runner", line, cwd=ROOT, env=self.env | env)


def composer(scratch: Path, images: Images) -> Composer:
    """Return what this machine has; without network, which no test here needs."""
    env = {"QLIB_SHADOW_RUNNER_IMAGE": images.runner.reference, "QLIB_SHADOW_NETWORK": "none"}
    if kind.docker_answers():
        return Composer("docker compose", env)
    packages.require({"podman": "podman"})
    (scratch / "storage.conf").write_text(STORAGE.format(scratch=scratch, images=cache.root() / "images"))
    (scratch / "containers.conf").write_text(LIMITS)
    env |= {
        "CONTAINERS_STORAGE_CONF": f"{scratch}/storage.conf",
        "CONTAINERS_CONF": f"{scratch}/containers.conf",
    }
    return Composer(shlex.join([sys.executable, str(podman_compose())]), env)


def podman_compose() -> Path:
    """Install the pinned podman-compose into the cache; its hash is checked by the installer."""

    def install(folder: Path) -> None:
        run(*installer(), "--target", folder, "--no-deps", "--require-hashes", "-r", LOCK)

    return cache.keep("podman-compose", cache.digest([LOCK]), install) / "podman_compose.py"
