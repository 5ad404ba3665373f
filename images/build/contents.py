"""Writes the contents of an image, read from its environment: sbom.cdx.json and licences.md.

python contents.py IMAGE ENVIRONMENT FOLDER: the packages of ENVIRONMENT, a virtual one, and beside them this
system's Debian packages. A licence that is not approved ends the build (licences.py). The same packages
make the same files, byte for byte: there is no time and no random number in them.
"""
# ruff: noqa: INP001 -- a script, in no package

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from licences import POLICY, Package, packages, plain, read_policy, table

ROOT: Final = Path(__file__).resolve().parents[2]
DEBIAN: Final = "${Package}\t${Version}\t${Architecture}\n"


def bill(image: str, environment: Path, listed: list[Package]) -> dict[str, Any]:
    """Give the image's bill of materials."""
    found = python_packages(environment)
    root = found["metadata"]["component"]
    root |= {"type": "container", "name": image}
    licences = {package.name: package.licence for package in listed}
    for component in found["components"]:
        component["licenses"] = [{"expression": licences[plain(component["name"])]}]
    debian = debian_packages()
    found["components"] += debian
    direct = next(entry for entry in found["dependencies"] if entry["ref"] == root["bom-ref"])
    direct["dependsOn"] = sorted(component["bom-ref"] for component in found["components"])
    found["dependencies"] += [{"ref": component["bom-ref"]} for component in debian]
    return found


def python_packages(environment: Path) -> dict[str, Any]:
    """Let CycloneDX's own tool list an environment."""
    tool = Path(sys.executable).parent / "cyclonedx-py"
    how = ("--pyproject", ROOT / "pyproject.toml", "--output-reproducible")
    command = (tool, "environment", *how, environment / "bin/python")
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def debian_packages() -> list[dict[str, Any]]:
    """List the system's packages, as components."""
    command = ("dpkg-query", "--show", f"--showformat={DEBIAN}")
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    lines = [line.split("\t") for line in listed.stdout.decode().splitlines()]
    return [component(*fields) for fields in sorted(lines)]


def component(name: str, version: str, architecture: str) -> dict[str, Any]:
    """Describe one package of the system."""
    url = f"pkg:deb/debian/{name.replace('+', '%2B')}@{version.replace('+', '%2B')}?arch={architecture}"
    return {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}


def main(arguments: list[str]) -> int:
    """Write both files; return 1 if a licence is not approved."""
    image, environment, folder = arguments[0], Path(arguments[1]), Path(arguments[2])
    policy = read_policy(ROOT / "requirements" / POLICY)
    [site] = environment.glob("lib/python3*/site-packages")
    listed = packages(site, policy)
    if faults := [fault for package in listed if (fault := policy.fault(package))]:
        sys.stderr.writelines(f"{fault}\n" for fault in faults)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(bill(image, environment, listed), indent=1, sort_keys=True)
    (folder / "sbom.cdx.json").write_text(f"{document}\n")
    (folder / "licences.md").write_text(table(listed))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
