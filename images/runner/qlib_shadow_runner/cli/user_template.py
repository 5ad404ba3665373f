"""The text of a user's template: from the ConfigMap in the manifest's file, or from --template.

The same file that kubectl would apply is enough, because it holds the ConfigMap too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from qlib_shadow_runner.contract import LOCAL_NAMESPACE, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.texts import did_you_mean, ended
from qlib_shadow_runner.workflow.templates import LARGEST, Template, find_template, own_template

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.cli.run_manifest import RunManifest
    from qlib_shadow_runner.contract.spec.workflow import ConfigMapRef


def user_template_text(manifest: RunManifest, file: Path | None) -> str | None:
    """Return the text that the cluster would pass to the stage; None for a built-in template."""
    ref = manifest.parse().workflow.config_map
    if ref is None:
        if file is not None:
            _refuse(
                f"--template is the text of spec.workflow.configMapRef, which {manifest.path} does not have. "
                "Write configMapRef: {name: my-template} there, instead of template."
            )
        return None
    text = _read(file) if file is not None else _text_in_manifest_file(manifest, ref)
    return own_template(ref, text).text


def template_of(manifest: RunManifest, file: Path | None) -> Template:
    """Return the template that the stage would fill in."""
    return find_template(manifest.parse().workflow, user_template_text(manifest, file))


def _read(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            return stream.read(LARGEST + 1)  # enough to see that it is too large
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not text"
        _refuse(f"--template {file} cannot be read: {what}.")


def _text_in_manifest_file(manifest: RunManifest, ref: ConfigMapRef) -> str:
    found = [document for document in manifest.other_documents if _is(document, ref.name, manifest.namespace)]
    if len(found) != 1:
        many = f"{len(found)} ConfigMaps" if found else "no ConfigMap"
        _refuse(
            f'{manifest.path} holds {many} named "{ref.name}", which spec.workflow.configMapRef names. '
            "Put it into the same file, as kubectl takes it, or give its text with --template FILE."
        )
    data = found[0].get("data")
    entries = data if isinstance(data, dict) else {}
    if ref.key not in entries:
        hint = did_you_mean(ref.key, [str(key) for key in entries]) if entries else "it has no data"
        _refuse(f'ConfigMap "{ref.name}" in {manifest.path} has no key "{ref.key}"; {ended(hint)}')
    text = entries[ref.key]
    if not isinstance(text, str):
        _refuse(
            f'ConfigMap "{ref.name}" in {manifest.path} has no text at "{ref.key}": write "{ref.key}: |" and '
            "the template below it, indented."
        )
    return text


def _is(document: Mapping[str, object], name: str, namespace: str) -> bool:
    metadata = document.get("metadata")
    if document.get("kind") != "ConfigMap" or not isinstance(metadata, dict):
        return False
    same_namespace = metadata.get("namespace", namespace) == namespace or namespace == LOCAL_NAMESPACE
    return bool(metadata.get("name") == name and same_namespace)


def _refuse(message: str) -> NoReturn:
    raise StageError(Reason.TEMPLATE_NOT_FOUND, message)
