"""Makes the chart that a release publishes: both images by registry and digest, so that it installs as it is.

    python3 helm/pin.py CHART REGISTRY DIGESTS

CHART is the folder to make; DIGESTS holds a file for each image, as qlib-runner.digest.
"""
# ruff: noqa: INP001 -- a script, in no package

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).parent / "qlib-shadow-operator"
IMAGE: Final = re.compile(
    r'^(?P<part>\w+):\n  image:\n(?: {4}.*\n)*? {4}registry: ""\n(?: {4}.*\n)*?'
    r' {4}repository: (?P<repository>\S+)\n(?: {4}.*\n)*? {4}digest: ""$',
    re.MULTILINE,
)
"""One image of the values, with the comments between."""
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
PARTS: Final = {"operator", "runner"}


def pin(chart: Path, registry: str, digests: Path) -> None:
    """Write the chart with its values, and the table of them in its README."""
    values, readme = (SOURCE / "values.yaml").read_text(), (SOURCE / "README.md").read_text()
    found = list(IMAGE.finditer(values))
    if {image["part"] for image in found} != PARTS:
        sys.exit(f"{SOURCE}/values.yaml: the images of {' and '.join(sorted(PARTS))} were not found")
    for image in found:
        text = image[0]
        for field, value in (
            ("registry", registry),
            ("digest", read(digests / f"{image['repository']}.digest")),
        ):
            text = text.replace(f'    {field}: ""', f'    {field}: "{value}"')
            row = f"| `{image['part']}.image.{field}` | `"
            readme = readme.replace(f'{row}""`', f'{row}"{value}"`')
        values = values.replace(image[0], text)
    shutil.copytree(SOURCE, chart)
    (chart / "values.yaml").write_text(values)
    (chart / "README.md").write_text(readme)


def read(file: Path) -> str:
    """Read a digest, and nothing that only looks like one."""
    text = file.read_text().strip() if file.is_file() else "nothing, since it is not there"
    if not DIGEST.fullmatch(text):
        sys.exit(f"{file} must hold the digest of an image, sha256: and 64 digits; it holds {text}")
    return text


if __name__ == "__main__":
    if len(sys.argv) != 4:  # noqa: PLR2004 - the three of the usage above
        sys.exit(__doc__)
    pin(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
