"""The credentials for an archive, read from the environment and sent in one header.

Their values appear in no message, log line, manifest or repr.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.contract import (
    ENV_ARCHIVE_PASSWORD,
    ENV_ARCHIVE_TOKEN,
    ENV_ARCHIVE_USERNAME,
    ENV_REQUEST,
)
from qlib_shadow_runner.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES: Final = (ENV_ARCHIVE_TOKEN, ENV_ARCHIVE_USERNAME, ENV_ARCHIVE_PASSWORD)


@dataclass(frozen=True)
class Credentials:
    """The Authorization header for the server, if there is one."""

    authorization: str | None = field(default=None, repr=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], secret: str | None = None) -> Self:
        """Return the credentials in the variables, without the newline at the end of many Secrets.

        They are refused where the spec names a Secret and nothing came from it: the kubelet starts a stage
        without a Secret that is missing, and the server would be blamed.
        """
        token, user, password = (environ.get(name, "").strip() for name in VARIABLES)
        if token and (user or password):
            refuse(f"{_place(environ, secret)} has both token and username or password; keep one kind")
        if bool(user) != bool(password):
            has, lacks = ("username", "password") if user else ("password", "username")
            refuse(f"{_place(environ, secret)} has {has} and no {lacks}; it must have both, or token alone")
        if token:
            return cls(_bearer(token, _place(environ, secret)))
        if not user:
            if secret is not None:
                refuse(_missing(environ, secret))
            return cls()
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return cls(f"Basic {pair}")


def _bearer(token: str, place: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        refuse(f"the token in {place} holds characters that a token cannot have; write it there again")
    return f"Bearer {token}"


def _place(environ: Mapping[str, str], secret: str | None) -> str:
    """Return which Secret it is, for a sentence; without one, the variables themselves."""
    if secret is None:
        return f"the environment ({', '.join(VARIABLES)})"
    return f'the Secret "{secret}" in namespace "{_namespace(environ)}"'


def _missing(environ: Mapping[str, str], secret: str) -> str:
    namespace = _namespace(environ)
    return (
        f"spec.dataset.source.archive.credentialsSecret: {_place(environ, secret)} is not there, or has none "
        "of the keys token, username and password. Create it: "
        f"kubectl create secret generic {secret} -n {namespace} --from-literal=token=…, or leave "
        f"credentialsSecret out (without a cluster: set {ENV_ARCHIVE_TOKEN}, or {ENV_ARCHIVE_USERNAME} and "
        "_PASSWORD)"
    )


def _namespace(environ: Mapping[str, str]) -> str:
    """Return the namespace of the run, which is the one of its Secrets."""
    try:
        request = json.loads(environ.get(ENV_REQUEST, "{}"))
    except (ValueError, RecursionError):  # the request was read and checked before
        return ""
    return str(request.get("namespace", "")) if isinstance(request, dict) else ""
