"""The project's two images, built only when their inputs have changed."""

from __future__ import annotations

import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

from testcluster import cache
from testcluster.commands import run, say, succeeds
from testcluster.engines import Engine, engine

REPOSITORY = Path(__file__).parents[3]
SHARED = (
    *(".dockerignore", "LICENSE", "README.md", "pyproject.toml", "requirements/build.lock"),
    *("requirements/licences.toml", "images/build/contents.py", "images/build/licences.py"),
    "images/build/pyqlib",
)
MEGABYTE = 1_000_000
LOADED_WITHIN = 3600
"""Seconds within which a test session loads an image that it has built."""


@dataclass(frozen=True)
class Recipe:
    """How one image is made."""

    name: str
    dockerfile: str
    lock: str
    sources: tuple[str, ...]

    def inputs(self) -> list[Path]:
        """Return every file that the image depends on."""
        named = [REPOSITORY / name for name in (self.dockerfile, self.lock, *SHARED)]
        sources = [REPOSITORY / source for source in self.sources]
        trees = [path for source in sources for path in (source, *source.rglob("*"))]
        return named + sorted(filter(is_source, trees))

    def reference(self, base: str) -> str:
        """Return the image's name, by its content and by this module's build settings."""
        inputs = self.inputs()
        names = [str(path.relative_to(REPOSITORY)) for path in inputs]
        return f"localhost/{self.name}:{cache.digest([base, Path(__file__), *names, *inputs])}"


@dataclass(frozen=True)
class Image:
    """A built image."""

    reference: str
    archive: Path

    @property
    def megabytes(self) -> float:
        """Return the size on a node's disk: the archive is not compressed."""
        return self.archive.stat().st_size / MEGABYTE


@dataclass(frozen=True)
class Images:
    """Both images."""

    runner: Image
    operator: Image


RUNNER = Recipe(
    "qlib-runner",
    "images/runner/Dockerfile",
    "requirements/runner.lock",
    ("config/qlib_shadow", "images/runner/qlib_shadow_runner"),
)
OPERATOR = Recipe(
    "qlib-shadow-operator",
    "images/operator/Dockerfile",
    "requirements/operator.lock",
    (
        "config/qlib_shadow",
        "operator/qlib_shadow_operator",
        "images/runner/qlib_shadow_runner/__init__.py",
        "images/runner/qlib_shadow_runner/contract",
    ),
)


def is_source(path: Path) -> bool:
    """Return whether a file is part of an image."""
    return path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"


def build() -> Images:
    """Build what has changed; two processes never build at once."""
    with cache.lock("images"):
        return Images(build_one(RUNNER, engine()), build_one(OPERATOR, engine()))


def build_one(recipe: Recipe, builder: Engine) -> Image:
    """Build an image unless one of the same content exists."""
    base = builder.base()
    reference = recipe.reference(base)
    archive = cache.root() / f"{recipe.name}-{reference.rpartition(':')[2]}.tar"
    if not builder.has(reference):
        say(f"building {reference}")
        arguments = {"GIT_COMMIT": commit(recipe), "VERSION": version(), "CREATED": committed()}
        arguments |= {"BASE_IMAGE": base} if base else {}
        builder.build(REPOSITORY, REPOSITORY / recipe.dockerfile, reference, arguments)
        builder.remove_others(reference)
    if not archive.exists():
        save(builder, reference, archive)
    return Image(reference, archive)


def save(builder: Engine, reference: str, archive: Path) -> None:
    """Write an image's archive in one step, and remove earlier ones that no session is about to load."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as draft:
        builder.save(reference, Path(draft) / archive.name)
        (Path(draft) / archive.name).rename(archive)
    for other in archive.parent.glob(f"{archive.stem.rpartition('-')[0]}-????????????.tar"):
        if other.stat().st_mtime < time.time() - LOADED_WITHIN:
            other.unlink()


def commit(recipe: Recipe) -> str:
    """Return the sources' commit, with a mark if they have changed since."""
    if not succeeds("git", "-C", REPOSITORY, "rev-parse", "HEAD"):
        return "unknown"
    head = run("git", "-C", REPOSITORY, "rev-parse", "HEAD").strip()
    changed = run("git", "-C", REPOSITORY, "status", "--porcelain", "--", *recipe.inputs()).strip()
    return f"{head}-dirty" if changed else head


def committed() -> str:
    """Return the time of the last commit, as labels do."""
    asked = ("log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd")
    if not succeeds("git", "-C", REPOSITORY, "rev-parse", "HEAD"):
        return "1970-01-01T00:00:00Z"
    return run("git", "-C", REPOSITORY, *asked, env={"TZ": "UTC"}).strip()


def version() -> str:
    """Return the project's version."""
    return str(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"])
