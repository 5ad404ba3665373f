"""One question to the API server: which QlibShadowRun resources there are.

It is asked from a pod, with the pod's own account, by the standard library, and never through a proxy or a
redirect, since the account's token goes with it. What goes wrong is one sentence.
"""

from __future__ import annotations

import contextlib
import json
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, urlencode

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its account's token, the API server's CA, and its own namespace."""
RESOURCES: Final = "/apis/qlibshadow.io/v1alpha1/namespaces/{}/qlibshadowruns"
SECONDS: Final = 3
"""That one answer may take: a page waits for it."""
LIMIT: Final = 500
PAGES: Final = 20
"""So many of that many are asked for; nobody looks through more, and each page would wait for all of them."""


class UnreachableError(Exception):
    """The API server gave no list; the text says why."""


@dataclass(frozen=True)
class RunApi:
    """An API server, and the account to ask it by."""

    host: str
    port: int
    namespace: str
    account: Path = ACCOUNT

    @classmethod
    def of_pod(cls, environ: Mapping[str, str], account: Path = ACCOUNT) -> Self:
        """Find it as every pod does, or say that this is none."""
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
        try:
            namespace = (account / "namespace").read_text(encoding="utf-8").strip()
        except OSError as error:
            namespace, host = str(error.strerror), None
        if not host or not port.isdigit():
            raise StageError(
                Reason.INVALID_SPEC,
                "--resources asks the cluster that it runs in, and this is no pod with a service account "
                f"(there is no KUBERNETES_SERVICE_HOST, or no {account}). Leave it out; "
                "without it, the pages show what is on the volume.",
            )
        return cls(host, int(port), namespace, account)

    def resources(self) -> list[Mapping[str, Any]]:
        """List them, page by page."""
        try:
            with contextlib.closing(self._connection()) as connection:
                return self._all(connection)
        except (OSError, HTTPException) as error:
            raise UnreachableError(
                f"the API server at {self.host}:{self.port} cannot be asked ({type(error).__name__}: {error})"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnreachableError(
                f"the API server at {self.host}:{self.port} gave something else than a list of runs"
            ) from error

    def _connection(self) -> HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
        return HTTPSConnection(self.host, self.port, timeout=SECONDS, context=context)

    def _all(self, connection: HTTPSConnection) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        mark = ""
        for _ in range(PAGES):
            page = self._page(connection, mark)
            found += [item for item in page["items"] if isinstance(item, dict)]
            mark = page["metadata"].get("continue", "")
            if not mark:
                return found
        raise UnreachableError(
            f"there are more than {PAGES * LIMIT:,} QlibShadowRuns in {self.namespace}, "
            "too many to be asked for; give them a ttlSecondsAfterFinished"
        )

    def _page(self, connection: HTTPSConnection, mark: str) -> dict[str, Any]:
        asked = urlencode({"limit": LIMIT, **({"continue": mark} if mark else {})})
        # Read each time: a token of a pod lives an hour, and the kubelet puts a new one in its place.
        token = (self.account / "token").read_text(encoding="utf-8").strip()
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        connection.request("GET", f"{RESOURCES.format(quote(self.namespace))}?{asked}", headers=headers)
        answer = connection.getresponse()
        document: dict[str, Any] = json.loads(answer.read())
        if answer.status != HTTPStatus.OK:
            raise UnreachableError(
                f"the API server answered {answer.status}: {document.get('message', answer.reason)}"
            )
        return document
