"""The images contain what they promise, and nothing unneeded."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from testcluster.engines import Container, engine
from testcluster.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testcluster.images import Images

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS, VERSION = PROJECT["optional-dependencies"], PROJECT["version"]
MODULES = {
    "empyrical-reloaded": "empyrical",
    "pyqlib": "qlib",
    "mlflow-skinny": "mlflow",
    "pyyaml": "yaml",
    "prometheus-client": "prometheus_client",
}
"""Packages whose import name differs from their project name."""
QLIB = (
    "qlib.backtest",
    "qlib.cli.data",
    "qlib.cli.run",
    "qlib.contrib.data.handler",
    "qlib.contrib.evaluate",
    "qlib.contrib.model.double_ensemble",
    "qlib.contrib.model.gbdt",
    "qlib.contrib.strategy",
    "qlib.workflow.record_temp",
)
"""The modules that a workflow's qrun imports by name."""
STRIPPED_BUT_ALIVE = (
    "numpy.testing",
    "pandas.testing",
    "pyarrow.parquet",
    "pyarrow.dataset",
    "scipy.optimize",
)
"""Modules next to the ones that the Dockerfile removes."""
BUILD_TOOLS = ("cc", "gcc", "c++", "make", "git", "curl")
GROWTH = 0.15
"""The README's size of an image may be wrong by this share; beyond it, update the README or find what grew.
"""


def modules(extra: str) -> list[str]:
    """Return the modules that an image promises by its extra."""
    names = [re.split(r"[<>=!~\[ ]", requirement)[0] for requirement in EXTRAS[extra]]
    return [MODULES.get(name, name) for name in names]


@pytest.fixture(scope="module")
def runner(built_images: Images) -> Iterator[Container]:
    """Yield a container of the runner's image."""
    with engine().container(built_images.runner.reference) as container:
        yield container


@pytest.fixture(scope="module")
def operator(built_images: Images) -> Iterator[Container]:
    """Yield a container of the operator's image."""
    with engine().container(built_images.operator.reference) as container:
        yield container


@pytest.fixture(params=["runner", "operator"])
def either(request: pytest.FixtureRequest) -> Container:
    """Yield a container of each image in turn."""
    container: Container = request.getfixturevalue(request.param)
    return container


@pytest.fixture(params=["runner", "operator"])
def config(request: pytest.FixtureRequest, built_images: Images) -> dict[str, Any]:
    """Return each image's settings in turn."""
    return engine().config(getattr(built_images, request.param).reference)


IMPORT_EACH = """
import importlib, json, sys
failures = {}
for module in sys.argv[1:]:
    try:
        importlib.import_module(module)
    except Exception as error:
        failures[module] = repr(error)
print(json.dumps(failures))
"""


def failed_imports(container: Container, wanted: list[str]) -> dict[str, str]:
    """Import modules in an image; return the errors of those that fail."""
    found: dict[str, str] = json.loads(container.run("python", "-c", IMPORT_EACH, *wanted).splitlines()[-1])
    return found


def test_runner_imports_its_packages(runner: Container) -> None:
    """Each package of the extra, and each part of Qlib that a workflow names."""
    ours = ["qlib_shadow_runner.contract", "qlib_shadow_runner.__main__"]
    assert failed_imports(runner, [*modules("runner"), *QLIB, *STRIPPED_BUT_ALIVE, *ours]) == {}


def test_operator_imports_its_packages(operator: Container) -> None:
    """Each package of the extra."""
    assert failed_imports(operator, [*modules("operator"), "qlib_shadow_operator.handlers"]) == {}


def test_operator_has_no_packages_of_the_runner(operator: Container) -> None:
    """The image is small because it contains no research packages, and of the runner only the contract."""
    weight = ["qlib_shadow_runner.spec", "qlib", "pandas", "numpy", "lightgbm", "mlflow", "pyarrow"]
    assert sorted(failed_imports(operator, weight)) == sorted(weight)


def test_runner_has_no_packages_of_the_operator(runner: Container) -> None:
    """A run knows nothing of Kubernetes."""
    weight = ["qlib_shadow_operator", "kopf", "kubernetes"]
    assert sorted(failed_imports(runner, weight)) == sorted(weight)


@pytest.mark.parametrize(
    "command",
    [
        ("qrun", "--help"),
        ("python", "-m", "qlib.cli.data", "--help"),
        ("bash", "-lc", "qrun --help"),
        ("bash", "-lc", "python -m qlib.cli.data --help"),
        ("qlib-shadow", "--help"),
        ("python", "-m", "qlib_shadow_runner", "--help"),
    ],
    ids=" ".join,
)
def test_commands_of_the_runner_work(runner: Container, command: tuple[str, ...]) -> None:
    """Commands work by name, also in a login shell, which resets the image's PATH."""
    runner.run(*command)


def test_the_runner_works_as_any_user(runner: Container) -> None:
    """A claim may belong to a UID that no image has: home and user name must work."""
    ask = "import getpass, pathlib as p; p.Path('probe').touch(); print(getpass.getuser(), p.Path.home())"
    assert runner.run("python", "-c", ask, user="4711:4711").split() == ["qlib", "/work"]


SHELLS = {"plain": "-c", "login": "-lc", "interactive": "-ic", "both": "-lic"}


@pytest.mark.parametrize("how", SHELLS)
@pytest.mark.parametrize("user", ["", "4711:4711"])
def test_every_shell_finds_the_commands_and_a_home(runner: Container, how: str, user: str) -> None:
    """A plain shell, a login shell that resets the image's PATH, and an interactive one."""
    ask = "command -v qlib-shadow qrun python; cd && touch probe-$$ && pwd && rm probe-$$; "
    ask += "echo $QLIB_SHADOW_DATA"
    told = runner.run("bash", SHELLS[how], ask, user=user).split()
    commands = [f"/opt/venv/bin/{name}" for name in ("qlib-shadow", "qrun", "python")]
    assert told == [*commands, "/work", "/data"]


def test_interactive_shell_has_completion(runner: Container) -> None:
    """A shell that runs a script does not load the completion."""
    assert "_qlib_shadow" in runner.run("bash", "-ic", "complete -p qlib-shadow")
    with pytest.raises(CommandError, match="no completion specification"):
        runner.run("bash", "-c", "complete -p qlib-shadow")


MANIFEST = """\
apiVersion: qlibshadow.io/v1alpha1
kind: QlibShadowRun
metadata: {name: demo}
spec: {dataset: {source: {synthetic: {symbols: 10, days: 250}}}}
"""


def test_the_entry_point_takes_commands(runner: Container, built_images: Images) -> None:
    """The arguments after the image's name in `docker run` equal those of qlib-shadow on a laptop."""
    [entry] = engine().config(built_images.runner.reference)["Entrypoint"]
    piped = f"printf '%s' '{MANIFEST}' | {entry}"
    assert json.loads(runner.run("sh", "-c", f"{piped} validate - --json"))["valid"]
    made = json.loads(runner.run("sh", "-c", f"{piped} download - --data /work/volume --json"))
    assert made["dataset"]["instruments"] == 11
    listed = json.loads(
        runner.run(entry, "runs", "--status", "downloaded", "--data", "/work/volume", "--json")
    )
    assert [run["status"] for run in listed] == ["downloaded"]


def test_doctor_finds_no_fault_of_the_image(runner: Container) -> None:
    """Checks of the machine (memory, space, its kernel) are left out."""
    told = json.loads(runner.run("sh", "-c", "qlib-shadow doctor --json; true"))
    ours = {"python", "packages", "libgomp", "volume", "time zone"}
    checks = {check["name"]: check for check in told["checks"] if check["name"] in ours}
    assert checks.keys() == ours
    assert [check for check in checks.values() if not check["passed"]] == []


def test_time_zones_are_known(runner: Container) -> None:
    """Calendars are read in the market's time zone."""
    ask = "import zoneinfo; print(zoneinfo.ZoneInfo('America/New_York'))"
    assert runner.run("python", "-c", ask).strip() == "America/New_York"


def test_bytecode_is_compiled(either: Container) -> None:
    """The root is read-only: what is not compiled in the image is compiled at every start."""
    ask = "import pathlib, yaml, qlib_shadow_runner as ours; "
    ask += "print(*(pathlib.Path(module.__cached__).exists() for module in (yaml, ours)))"
    assert either.run("python", "-c", ask).split() == ["True", "True"]


COUNT_LOOPS = """
import importlib, pkgutil
from qlib_shadow_runner import engine
names = [found.name for found in pkgutil.iter_modules(engine.__path__)]
modules = [importlib.import_module(f"{engine.__name__}.{name}") for name in names]
from numba.core.registry import CPUDispatcher  # after them: they settle what numba reads
loops = {one for module in modules for one in vars(module).values() if isinstance(one, CPUDispatcher)}
hits = [sum(loop.stats.cache_hits.values()) for loop in loops]
misses = [sum(loop.stats.cache_misses.values()) for loop in loops]
print(len(loops), sum(hits), sum(misses))
"""


def test_numba_loops_are_compiled(runner: Container) -> None:
    """All of them are in the cache, for a user who cannot write to the image."""
    loops, hits, misses = map(int, runner.run("python", "-c", COUNT_LOOPS).splitlines()[-1].split())
    assert loops >= 4
    assert (hits, misses) == (loops, 0)


LOOK_FOR_FONTS = """
import os, pathlib
from qlib_shadow_runner.process.environment import drawing_environment
os.environ |= drawing_environment(os.environ, "/work")
made = [path.stat().st_ino for path in pathlib.Path("/work").glob("fontlist-*.json")]
import matplotlib.font_manager
print(len(made), made == [path.stat().st_ino for path in pathlib.Path("/work").glob("fontlist-*.json")])
"""


def test_font_list_is_cached(runner: Container) -> None:
    """Matplotlib uses the image's list, and writes none of its own."""
    assert runner.run("python", "-c", LOOK_FOR_FONTS).split() == ["1", "True"]


def test_no_build_tool_is_left(either: Container) -> None:
    """A final image has no compiler and no downloader."""
    ask = f"for tool in {' '.join(BUILD_TOOLS)}; do command -v $tool; done; true"
    assert either.run("sh", "-c", ask) == ""


def test_the_environment_has_no_installer(either: Container) -> None:
    """The installer stays in the build."""
    with pytest.raises(CommandError, match="No module named pip"):
        either.run("python", "-m", "pip", "--version")


def test_default_user_is_not_root(either: Container) -> None:
    """Processes run as 10001:10001 by default."""
    assert either.run("sh", "-c", "id -u; id -g").split() == ["10001", "10001"]


def test_image_settings_fit_the_jobs(config: dict[str, Any]) -> None:
    """User, safe module path, no bytecode written, and the commit that provenance records."""
    environment = dict(pair.split("=", 1) for pair in config["Env"])
    assert config["User"] == "10001:10001"
    assert environment["PYTHONSAFEPATH"] == "1"
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert environment["QLIB_SHADOW_GIT_COMMIT"] == config["Labels"]["org.opencontainers.image.revision"]


def test_labels_describe_the_image(config: dict[str, Any]) -> None:
    """The annotations that registries and scanners read."""
    labels = {
        name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()
    }
    assert labels["title"] in {"qlib-runner", "qlib-shadow-operator"}
    assert labels["licenses"] == "Apache-2.0"
    assert labels["version"] == VERSION
    assert labels["source"].startswith("https://")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", labels["created"])
    assert labels["base.name"]
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["revision"])


def test_runner_has_its_paths(built_images: Images) -> None:
    """Entry point, working folder and the two variables of the contract."""
    settings = engine().config(built_images.runner.reference)
    assert settings["Entrypoint"] == ["qlib-shadow"]
    assert settings["WorkingDir"] == "/work"
    expected = {
        "QLIB_SHADOW_DATA=/data",
        "QLIB_SHADOW_WORK=/work",
        "HOME=/work",
        "MPLCONFIGDIR=/usr/share/qlib-shadow/fonts",
        "MLFLOW_DISABLE_TELEMETRY=true",
    }
    assert expected <= set(settings["Env"])


def stated_megabytes() -> dict[str, int]:
    """Return the image sizes in the README."""
    rows = re.findall(r"^\| (qlib-[a-z-]+) \| ([\d,]+) MB \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    return {name: int(size.replace(",", "")) for name, size in rows}


def test_image_sizes_match_the_readme(
    built_images: Images, record_property: Any, request: pytest.FixtureRequest
) -> None:
    """So that growth is noticed before a node is full, and the table stays true."""
    sizes = {
        "qlib-runner": round(built_images.runner.megabytes),
        "qlib-shadow-operator": round(built_images.operator.megabytes),
    }
    record_property("image_megabytes", json.dumps(sizes))
    request.node.add_report_section("call", "image sizes", f"uncompressed MB: {sizes}")
    stated = stated_megabytes()
    assert stated.keys() == sizes.keys()
    assert sizes == pytest.approx(stated, rel=GROWTH)
    assert sizes["qlib-shadow-operator"] < sizes["qlib-runner"] / 2


def bill(container: Container) -> dict[str, Any]:
    """Return an image's bill of materials."""
    found: dict[str, Any] = json.loads(container.run("cat", "/usr/share/qlib-shadow/sbom.cdx.json"))
    return found


def parts(container: Container, kind: str) -> dict[str, str]:
    """Return the names and versions of one kind of package on the bill."""
    listed = [one for one in bill(container)["components"] if one["purl"].startswith(f"pkg:{kind}/")]
    return {one["name"]: one["version"] for one in listed}


ROLL = """
import glob, importlib.util, sys
import numpy as np
series = np.sin(np.arange(400) * 0.7) + np.arange(400) * 0.01
series[::17] = np.nan
for name in ("rolling", "expanding"):
    [file] = glob.glob(f"{sys.argv[1]}/qlib/data/_libs/{name}.*.so")
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for figure in ("slope", "rsquare", "resi"):
        arguments = (series, 20) if name == "rolling" else (series,)
        print(name, figure, np.nansum(getattr(module, f"{name}_{figure}")(*arguments)).hex())
"""


def test_pyqlib_can_be_compiled_where_there_is_no_wheel(runner: Container, built_images: Images) -> None:
    """As for arm64, but here: the compiled package computes the same as the wheel, bit for bit."""
    assert built_images
    reference, arguments = "localhost/qlib-runner-wheels:source", {"PYQLIB": "source"}
    arguments |= {"BASE_IMAGE": base} if (base := engine().base()) else {}
    engine().build(ROOT, ROOT / "images/runner/Dockerfile", reference, arguments, "--target=wheels")
    with engine().container(reference) as compiled:
        compiled.run("sh", "-c", "cd /build && /opt/pip/bin/python -m zipfile -e wheels/pyqlib-*.whl out")
        assert "linux_" in compiled.run("ls", "/build/wheels"), "and is not called manylinux"
        ours = compiled.run("/opt/pip/bin/python", "-c", ROLL, "/build/out")
    theirs = runner.run("sh", "-c", 'python -c "$0" /opt/venv/lib/python3*/site-packages', ROLL)
    assert ours == theirs
    assert ours.count("\n") == 6


def test_the_bill_of_materials_is_valid(either: Container) -> None:
    """By the strict CycloneDX schema, with the image as its subject."""
    text = either.run("cat", "/usr/share/qlib-shadow/sbom.cdx.json")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    subject = json.loads(text)["metadata"]["component"]
    assert (subject["type"], subject["version"]) == ("container", VERSION)
    assert subject["name"] in {"qlib-runner", "qlib-shadow-operator"}


def test_the_bill_lists_every_python_package_and_no_other(either: Container) -> None:
    """As the image's own interpreter lists them, besides this project."""
    ask = "import importlib.metadata as m, json; "
    ask += "print(json.dumps({d.name: d.version for d in m.distributions()}))"
    installed = json.loads(either.run("python", "-c", ask))
    assert installed.pop("qlib-shadow-operator") == VERSION
    assert parts(either, "pypi") == installed


def test_the_bill_lists_every_debian_package_and_no_other(either: Container) -> None:
    """The packages of the base image, too."""
    told = either.run("dpkg-query", "--show", "--showformat=${Package} ${Version}\\n").splitlines()
    assert parts(either, "deb") == dict(line.split() for line in told)


def test_every_package_on_the_bill_has_a_licence(either: Container) -> None:
    """An approved one: the licence list has the same, and the build refuses others."""
    licences = {
        one["name"].lower().replace("_", "-").replace(".", "-"): one["licenses"][0]["expression"]
        for one in bill(either)["components"]
        if one["purl"].startswith("pkg:pypi/")
    }
    table = either.run("cat", "/usr/share/qlib-shadow/licences.md")
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    assert {row[0]: row[2] for row in rows} == licences
    assert "GPL" not in table


def test_bytecode_has_no_timestamps(either: Container) -> None:
    """Times would make a rebuilt layer differ."""
    ask = "import pathlib, sysconfig; site = pathlib.Path(sysconfig.get_path('purelib')); "
    ask += "print({file.read_bytes()[4] for file in site.rglob('*.pyc')})"
    assert either.run("python", "-c", ask).strip() == "{1}", "1 is: by hash, not checked"


def test_the_installed_versions_are_the_locked_ones(runner: Container) -> None:
    """What was tested is what is in the image."""
    lock = (ROOT / "requirements/runner.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", lock, flags=re.MULTILINE))
    ask = "import importlib.metadata as m, json; "
    ask += "print(json.dumps({d.name: d.version for d in m.distributions()}))"
    installed = json.loads(runner.run("python", "-c", ask))
    assert installed["pyqlib"] == locked["pyqlib"]
    assert installed["lightgbm"] == locked["lightgbm"]
    assert "mlflow-skinny" in installed
