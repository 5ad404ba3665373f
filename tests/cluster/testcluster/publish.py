"""The names by which a cluster pulls the project's images: a registry, with the project's version as tag."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from testcluster import images
from testcluster.errors import CommandError, TestClusterError

if TYPE_CHECKING:
    from testcluster.engines import Engine
    from testcluster.images import Image

HOST = r"(?:localhost|[a-z0-9-]+(?:\.[a-z0-9-]+)+|[a-z0-9.-]+(?=:))(?::\d+)?"
"""With a dot or a port; otherwise builders take it for a folder of their default registry."""
REGISTRY = re.compile(rf"{HOST}(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")


def check(registry: str, push: str) -> None:
    """Refuse wrong input, before anything that takes long."""
    if push not in {"", "1"}:
        raise TestClusterError(f"PUSH={push} is not understood; write PUSH=1, or leave it out")
    if push and not registry:
        raise TestClusterError("PUSH=1 needs to know where to: add REGISTRY=registry.example/research")
    if registry and not REGISTRY.fullmatch(registry):
        raise TestClusterError(
            f"REGISTRY={registry} names no registry; write its host and folder in small letters, without https://"
            " and without a slash at the end, as registry.example/research (Docker Hub's are docker.io/NAME)"
        )


def publish(builder: Engine, image: Image, registry: str, *, push: bool) -> str:
    """Tag an image with the chart's name, push it if asked, and return the name."""
    repository = image.reference.rpartition(":")[0].rpartition("/")[2]
    name = f"{registry}/{repository}:{images.version()}"
    builder.tag(image.reference, name)
    if push:
        try:
            builder.push(name)
        except CommandError as error:
            host = registry.partition("/")[0]
            raise CommandError(
                f"{error}\n{name} is not pushed; is {host} right, and are you logged in?"
            ) from error
    return name
