"""`make images REGISTRY=… PUSH=1`: wrong input is one sentence; the pushed names are those of the chart."""

from __future__ import annotations

import re
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.unit.docs.blocks import read

from testcluster import images, publish
from testcluster.__main__ import main
from testcluster.engines import engine
from testcluster.errors import CommandError, UnavailableError
from testcluster.images import Image, Images

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/qlib-shadow-operator"
BUILT = [
    Image(f"localhost/{one.name}:0123456789ab", Path("/dev/null")) for one in (images.RUNNER, images.OPERATOR)
]
PROBE = "localhost/qlib-shadow-probe:1"


class Recorder:
    """A builder that only records its calls."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []
        self.refusal = ""

    def tag(self, reference: str, name: str) -> None:
        """Record a tag."""
        self.told.append(("tag", reference, name))

    def push(self, name: str) -> None:
        """Record a push, or refuse it."""
        if self.refusal:
            raise CommandError(self.refusal)
        self.told.append(("push", name))


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Replace the build by the recorder."""
    recorder = Recorder()
    monkeypatch.setattr("testcluster.__main__.engine", lambda: recorder)
    monkeypatch.setattr(images, "build", lambda: Images(*BUILT))
    return recorder


def test_pushed_names_are_those_of_the_chart(builder: Recorder) -> None:
    """The values' repositories and the chart's appVersion, so that the user only sets the registry."""
    assert main(["images", "--registry=registry.example/research", "--push=1"]) == 0
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    asked = [values[part]["image"]["repository"] for part in ("runner", "operator")]
    names = [f"registry.example/research/{name}:{version}" for name in asked]
    assert builder.told == [
        step
        for image, name in zip(BUILT, names, strict=True)
        for step in (("tag", image.reference, name), ("push", name))
    ]


def test_nothing_is_pushed_unasked(builder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    """The images are tagged, and the message says how to push them; without a registry nothing changes."""
    assert main(["images", "--registry=localhost:5000"]) == 0
    assert {step[0] for step in builder.told} == {"tag"}
    assert "localhost:5000/qlib-runner:0.1.0  not pushed; PUSH=1 does\n" in capsys.readouterr().out
    builder.told.clear()
    assert main(["images"]) == 0
    assert builder.told == []


@pytest.mark.parametrize(
    ("registry", "push", "sentence"),
    [
        (
            "https://registry.example",
            "",
            "REGISTRY=https://registry.example names no registry; write its host",
        ),
        ("registry.example/research/", "1", "without a slash at the end, as registry.example/research"),
        ("registry.example/research:1", "1", "names no registry"),
        ("Registry.Example", "", "in small letters"),
        ("research", "1", "(Docker Hub's are docker.io/NAME)"),
        ("", "1", "PUSH=1 needs to know where to: add REGISTRY=registry.example/research"),
        ("registry.example", "yes", "PUSH=yes is not understood; write PUSH=1, or leave it out"),
    ],
)
def test_wrong_input_is_one_sentence_before_anything_is_built(
    registry: str, push: str, sentence: str, builder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not after five minutes of building."""
    assert main(["images", f"--registry={registry}", f"--push={push}"]) == 1
    told = capsys.readouterr()
    assert sentence in told.err
    assert (told.out, told.err.count("\n"), builder.told) == ("", 1, [])


@pytest.mark.parametrize("registry", ["localhost", "registry:5000/a", "10.0.0.1:5000", "ghcr.io/a-b/c_d/e.f"])
def test_valid_registry_is_accepted(registry: str) -> None:
    """With a port or folders."""
    publish.check(registry, "1")


def test_refused_push_says_what_to_check(builder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    """Below the builder's own message."""
    builder.refusal = "denied"
    assert main(["images", "--registry=ghcr.io/a", "--push=1"]) == 1
    sentence = "ghcr.io/a/qlib-runner:0.1.0 is not pushed; is ghcr.io right, and are you logged in?"
    assert capsys.readouterr().err == f"testcluster: denied\n{sentence}\n"


def test_make_passes_both_variables_on() -> None:
    """As typed, with spaces."""
    typed = ("make", "--dry-run", "images", "REGISTRY=a b", "PUSH=1")
    done = subprocess.run(typed, cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = "testcluster images --registry='a b' --push='1'"
    assert [line for line in done.stdout.splitlines() if line.endswith(wanted)]


class Registry(BaseHTTPRequestHandler):
    """The part of the OCI distribution protocol that a push needs; records the pushed names."""

    protocol_version = "HTTP/1.1"
    pushed: list[str]

    def answer(self, status: int, **headers: str) -> None:
        """Answer without a body, after reading what was sent."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """Answer as an empty registry."""
        self.answer(200 if self.path == "/v2/" else 404)

    do_HEAD = do_GET  # noqa: N815 - as it is called

    def do_POST(self) -> None:
        """Begin an upload."""
        self.answer(202, Location=f"{self.path}1")

    def do_PATCH(self) -> None:
        """Accept a blob."""
        self.answer(202, Location=self.path)

    def do_PUT(self) -> None:
        """End an upload, or accept a manifest."""
        if "/manifests/" in self.path:
            self.pushed.append(self.path)
        self.answer(201)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """Yield an empty registry; buildah must be told that it has no TLS, Docker knows local registries."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    Registry.pushed = []
    location = f"127.0.0.1:{server.server_port}"
    (tmp_path / "registries.conf").write_text(f'[[registry]]\nlocation = "{location}"\ninsecure = true\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registries.conf"))
    Thread(target=server.serve_forever).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.cluster
def test_builder_of_this_machine_pushes(registry: ThreadingHTTPServer, tmp_path: Path) -> None:
    """A small image, twice, because the second build takes the name over from the first."""
    try:
        builder = engine()
    except UnavailableError as why:
        pytest.skip(str(why))
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY content /\n")
    where = f"127.0.0.1:{registry.server_port}/research"
    try:
        for content in ("one", "two"):
            (tmp_path / "content").write_text(content)
            builder.build(tmp_path, tmp_path / "Dockerfile", PROBE, {})
            name = publish.publish(builder, Image(PROBE, tmp_path), where, push=True)
    finally:
        builder.remove_others(f"{where}/qlib-shadow-probe:none")
    assert name == f"{where}/qlib-shadow-probe:0.1.0"
    assert Registry.pushed == ["/v2/research/qlib-shadow-probe/manifests/0.1.0"] * 2


@pytest.mark.parametrize("page", ["README.md", "docs/install.md"])
def test_docs_install_from_the_registry_pushed_to(page: str) -> None:
    """A user who runs the lines in order has images that can be pulled."""
    text = (ROOT / page).read_text()
    pushed = re.search(r"^make images REGISTRY=(\S+) PUSH=1", text, re.MULTILINE)
    assert pushed
    install = re.search(
        r"^helm install [^`]*", text[pushed.end() :].split("\n## With Helm\n")[-1], re.MULTILINE
    )
    assert install
    for part in ("operator", "runner"):
        assert f"--set {part}.image.registry={pushed[1]}" in install[0]


def test_multi_arch_builds_are_pushed() -> None:
    """Docker's own store cannot hold it: without --push the build fails, or keeps nothing."""
    blocks = [block.text for block in read(ROOT / "docs/images.md") if "docker buildx build" in block.text]
    assert blocks
    assert [block for block in blocks if " --push" not in block] == []
