"""The chart's copies equal the manifests; its values are all described and all checked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.contract import values_page, values_schema
from tests.contract.wrong_forms import RIGHT, WRONG

from qlib_shadow_operator.settings import SettingsError, read_settings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/qlib-shadow-operator"


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    """Return the default values."""
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return found


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """Return the schema of the values."""
    found: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return found


def test_the_copies_are_current(tmp_path: Path):
    """helm/copy, run in another folder, produces the same files."""
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    (tmp_path / "helm").mkdir()
    shutil.copy(ROOT / "helm/copy", tmp_path / "helm/copy")
    subprocess.run([tmp_path / "helm/copy"], check=True)
    fresh = {path.name: path.read_text() for path in (tmp_path / "helm/qlib-shadow-operator/files").iterdir()}
    here = {path.name: path.read_text() for path in (CHART / "files").iterdir() if path.suffix == ".yaml"}
    assert here == fresh, "run: make docs"


def test_the_readme_is_current():
    """Each value with its default."""
    assert values_page.PAGE.read_text() == values_page.page(), "run: make docs"


def test_the_versions_are_the_projects():
    """One version number, everywhere."""
    [version] = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_values_and_schema_have_the_same_fields(values: dict[str, Any], schema: dict[str, Any]):
    """A value missing from the schema would accept any typo."""
    known = {path for path in paths_of_schema(schema) if not path.startswith("schedules.")}
    assert known == set(paths_of_values(values, schema))


def paths_of_schema(schema: dict[str, Any], prefix: str = "") -> list[str]:
    """Return every field of the schema."""
    found = []
    for name, field in schema["properties"].items():
        path = f"{prefix}{name}"
        inner = "properties" in field
        found += paths_of_schema(field, f"{path}.") if inner else [path]
    return found


def paths_of_values(values: dict[str, Any], schema: dict[str, Any], prefix: str = "") -> list[str]:
    """Return every default, down to where the schema ends; an empty object stands for its fields."""
    found = []
    for name, value in values.items():
        field = schema["properties"][name]
        if "properties" in field:
            inner = value or dict.fromkeys(field["properties"])
            found += paths_of_values(
                {**dict.fromkeys(field["properties"]), **inner}, field, f"{prefix}{name}."
            )
        else:
            found.append(f"{prefix}{name}")
    return found


def test_forms_of_runs_equal_the_table_of_fields():
    """So helm refuses a wrong affinity before the operator does."""
    assert values_schema.FILE.read_text() == values_schema.file(), "run: make docs"


def forms_of_runs() -> dict[str, dict[str, Any]]:
    """Return right and wrong settings of pods, as an installer would give them."""
    specs = RIGHT | {name: spec for name, (spec, _) in WRONG.items()}
    found = {
        name: next(iter(spec["stages"].values())) for name, spec in specs.items() if list(spec) == ["stages"]
    }
    return found | {
        "a sidecar switched off": {"labels": {"sidecar.istio.io/inject": "false"}},
        "a variable of another value": {"env": {"TZ": "UTC"}},
        "every taint": {"tolerations": [{"operator": "Exists"}]},
        "a value for every taint": {"tolerations": [{"operator": "Exists", "value": "a"}]},
        "a value for no taint": {"tolerations": [{"key": "", "value": "a"}]},
    }


def test_schema_refuses_in_runs_what_the_operator_refuses(tmp_path: Path):
    """An operator that cannot read its settings ends again and again, when the installation is done."""
    forms = forms_of_runs()
    for name, form in forms.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"runs": form}))
    command = (sys.executable, "-m", "check_jsonschema", "--output-format=JSON", "--schemafile")
    files = sorted(tmp_path.iterdir())
    done = subprocess.run([*command, CHART / "values.schema.json", *files], capture_output=True, check=False)
    refused = {Path(one["filename"]).stem for one in json.loads(done.stdout)["errors"]}
    assert refused == {name for name, form in forms.items() if not is_read(form)}
    assert 20 < len(refused) < len(forms) - 5


def is_read(form: dict[str, Any]) -> bool:
    """Return whether the operator can read these settings."""
    try:
        read_settings({"QLIB_SHADOW_PODS": json.dumps(form)})
    except SettingsError:
        return False
    return True


def test_every_value_is_described():
    """Each follows a line that begins with `# --`, from which the chart's README is made."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    undescribed = []
    for number, line in enumerate(lines):
        leaf = re.match(r"^( *)([A-Za-z]+): *(\S.*)$", line)
        before = lines[number - 1].strip() if number else ""
        if leaf and leaf[2] not in {"requests", "limits"} and not before.startswith("#"):
            undescribed.append(line)
    assert undescribed == []


def test_alerts_and_dashboard_use_existing_metrics():
    """A misspelt name would never alert, without notice."""
    documented = set(
        re.findall(r"^\| `(qlib_shadow_\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    )
    asked = set()
    for path in (CHART / "templates/monitoring.yaml", CHART / "files/dashboard.json"):
        asked |= set(re.findall(r"qlib_shadow_\w+", path.read_text()))
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= documented
    assert len(asked) > 10
