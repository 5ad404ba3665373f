"""Image builders that also run commands in images: Docker if it answers, else buildah."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from testcluster import base_image, kind, packages
from testcluster import cache as kept
from testcluster.commands import run, succeeds
from testcluster.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINE_FILES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pip.conf"))
"""Files of the machine that a build needs behind a company's proxy or package mirror."""


class Container(Protocol):
    """A container in which commands run."""

    def run(self, *command: str, user: str = "") -> str:
        """Run a command as the image's user or as another, without its entry point."""
        ...


class Engine(Protocol):
    """A program that builds images."""

    def build(
        self, context: Path, dockerfile: Path, reference: str, arguments: dict[str, str], *how: str
    ) -> None:
        """Build an image; `how` is passed to the builder unchanged."""
        ...

    def has(self, reference: str) -> bool:
        """Return whether the image was built already."""
        ...

    def remove_others(self, reference: str) -> None:
        """Remove the image's earlier builds."""
        ...

    def save(self, reference: str, archive: Path) -> None:
        """Write an image as a docker-archive, uncompressed."""
        ...

    def tag(self, reference: str, name: str) -> None:
        """Tag an image with another name, which an earlier build may have."""
        ...

    def push(self, name: str) -> None:
        """Push an image to the registry in its name."""
        ...

    def config(self, reference: str) -> dict[str, Any]:
        """Return the image's User, Env, Labels, Entrypoint and WorkingDir."""
        ...

    def base(self) -> str:
        """Return the base image that builds start from, or nothing for the Dockerfiles' own."""
        ...

    @contextmanager
    def container(self, reference: str) -> Iterator[Container]:
        """Yield a container."""
        ...


@dataclass(frozen=True)
class DockerContainer:
    """Runs each command in a container of its own."""

    reference: str

    def run(self, *command: str, user: str = "") -> str:
        """Run a command as the image's user or as another, without its entry point."""
        program, *rest = command
        who = ("--user", user) if user else ()
        return run("docker", "run", "--rm", *who, "--entrypoint", program, self.reference, *rest)


class Docker:
    """Docker's own builder. Not tested in the project's own environment, which has no Docker."""

    def build(
        self, context: Path, dockerfile: Path, reference: str, arguments: dict[str, str], *how: str
    ) -> None:
        """Build an image; `how` is passed to the builder unchanged."""
        run("docker", "build", *build_arguments(arguments), *how, "-f", dockerfile, "-t", reference, context)

    def has(self, reference: str) -> bool:
        """Return whether the image was built already."""
        return succeeds("docker", "image", "inspect", reference)

    def remove_others(self, reference: str) -> None:
        """Remove the image's earlier builds."""
        name = reference.rpartition(":")[0]
        found = run("docker", "image", "list", "--format", "{{.Repository}}:{{.Tag}}", name).split()
        for other in set(found) - {reference}:
            run("docker", "image", "rm", other)

    def save(self, reference: str, archive: Path) -> None:
        """Write an image as a docker-archive, uncompressed."""
        run("docker", "save", "-o", archive, reference)

    def tag(self, reference: str, name: str) -> None:
        """Tag an image with another name, which an earlier build may have."""
        run("docker", "tag", reference, name)

    def push(self, name: str) -> None:
        """Push an image to the registry in its name."""
        run("docker", "push", "--quiet", name)

    def config(self, reference: str) -> dict[str, Any]:
        """Return the image's User, Env, Labels, Entrypoint and WorkingDir."""
        return dict(json.loads(run("docker", "image", "inspect", reference))[0]["Config"])

    def base(self) -> str:
        """Return nothing: Docker can reach a registry."""
        return ""

    @contextmanager
    def container(self, reference: str) -> Iterator[Container]:
        """Yield a container."""
        yield DockerContainer(reference)


TO_FILES = 'exec "$@" >/out/stdout 2>/out/stderr'
"""Under load buildah loses the end of a command's output."""


@dataclass(frozen=True)
class BuildahContainer:
    """Runs commands in one working container."""

    command: tuple[str, ...]
    name: str

    def run(self, *command: str, user: str = "") -> str:
        """Run a command as the image's user or as another, without its entry point."""
        who = ("--user", user) if user else ()
        with tempfile.TemporaryDirectory() as out:
            Path(out).chmod(0o777)
            how = ("--isolation=chroot", *who, f"--volume={out}:/out")
            try:
                run(*self.command, "run", *how, self.name, "--", "sh", "-c", TO_FILES, "sh", *command)
            except CommandError as error:
                raise CommandError(f"{error} {(Path(out) / 'stderr').read_text()}") from error
            return (Path(out) / "stdout").read_text()


class Buildah:
    """Buildah without a daemon, with its images in the project's cache, apart from the user's."""

    def __init__(self) -> None:
        packages.require(packages.IMAGES)
        storage = ("--root", str(kept.root() / "images"), "--runroot", "/run/qlib-shadow-images")
        self.command = ("buildah", *storage)

    def build(
        self, context: Path, dockerfile: Path, reference: str, arguments: dict[str, str], *how: str
    ) -> None:
        """Build an image; `how` is passed to the builder unchanged."""
        mounts = [f"--volume={file}:{file}:ro" for file in MACHINE_FILES if file.exists()]
        always = ("--isolation=chroot", "--layers", "--format=docker", *mounts, *build_arguments(arguments))
        run(*self.command, "bud", *always, *how, "-f", dockerfile, "-t", reference, context)

    def has(self, reference: str) -> bool:
        """Return whether the image was built already."""
        return succeeds(*self.command, "inspect", "--type=image", reference)

    def remove_others(self, reference: str) -> None:
        """Remove the image's earlier builds, but not the layers that later ones share."""
        name = reference.rpartition(":")[0]
        found = run(*self.command, "images", "--format", "{{.Name}}:{{.Tag}}").split()
        for other in {image for image in found if image.startswith(f"{name}:")} - {reference}:
            run(*self.command, "rmi", other, check=False)  # one in use by another session stays

    def save(self, reference: str, archive: Path) -> None:
        """Write an image as a docker-archive, uncompressed."""
        run(*self.command, "push", "--quiet", reference, f"docker-archive:{archive}:{reference}")

    def tag(self, reference: str, name: str) -> None:
        """Tag an image with another name, which an earlier build may have."""
        if self.has(name):  # otherwise that build would stay without a name
            run(*self.command, "rmi", name, check=False)
        run(*self.command, "tag", reference, name)

    def push(self, name: str) -> None:
        """Push an image to the registry in its name."""
        run(*self.command, "push", "--quiet", name, f"docker://{name}")

    def config(self, reference: str) -> dict[str, Any]:
        """Return the image's User, Env, Labels, Entrypoint and WorkingDir."""
        found = json.loads(run(*self.command, "inspect", "--type=image", reference))
        return dict(found["Docker"]["config"])

    def base(self) -> str:
        """Import the base made by debootstrap, once."""
        reference = f"localhost/qlib-shadow-base:{base_image.key()}"
        if not self.has(reference):
            container = run(*self.command, "from", "scratch").strip()
            run(*self.command, "add", "--quiet", container, base_image.archive(), "/")
            run(*self.command, "commit", "--quiet", "--rm", container, reference)
        return reference

    @contextmanager
    def container(self, reference: str) -> Iterator[Container]:
        """Yield a container."""
        name = run(*self.command, "from", reference).strip()
        try:
            yield BuildahContainer(self.command, name)
        finally:
            run(*self.command, "rm", name)


def build_arguments(arguments: dict[str, str]) -> list[str]:
    """Return a build's arguments for either builder."""
    return [f"--build-arg={name}={value}" for name, value in arguments.items()]


@cache
def engine() -> Engine:
    """Return what this machine has."""
    return Docker() if kind.docker_answers() else Buildah()
