"""The one request to the API server: list the QlibShadowRun resources of a namespace.

It is made in a pod with the pod's service account, and never through a proxy or a redirect, because it
carries the account's token. Every failure is one sentence.
"""

from __future__ import annotations

import contextlib
import json
import re
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
"""The folder in a pod with its account's token, the API server's CA, and the namespace."""
RESOURCES: Final = "/apis/qlibshadow.io/v1alpha1/namespaces/{}/qlibshadowruns"
TIMEOUT_SECONDS: Final = 3
"""For one answer, which a web page waits for."""
PORT: Final = re.compile(r"[0-9]{1,5}")
PAGE_LIMIT: Final = 500
"""Resources that one answer lists."""
PAGES_MAX: Final = 20
"""More would be too many to look through, and every web page would wait for all of them."""


class UnreachableError(Exception):
    """The API server returned no list; the text says why."""


@dataclass(frozen=True)
class RunApi:
    """An API server, and the account that the request is made with."""

    host: str
    port: int
    namespace: str
    account: Path = ACCOUNT

    @classmethod
    def of_pod(cls, environ: Mapping[str, str], account: Path = ACCOUNT) -> Self:
        """Return the API server of this pod, or raise that this is not a pod."""
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
        try:
            namespace = (account / "namespace").read_text(encoding="utf-8").strip()
        except OSError as error:
            namespace, host = str(error.strerror), None
        if not host or not PORT.fullmatch(port):
            raise StageError(
                Reason.INVALID_SPEC,
                "--resources asks the cluster that it runs in, and this is not a pod with a service account "
                f"(there is no KUBERNETES_SERVICE_HOST, or no {account}). Leave it out: "
                "without it, the pages show what is on the volume.",
            )
        return cls(host, int(port), namespace, account)

    def resources(self) -> list[Mapping[str, Any]]:
        """Return all QlibShadowRuns of the namespace."""
        try:
            with contextlib.closing(self._connection()) as connection:
                return self._all(connection)
        except (OSError, HTTPException) as error:
            raise UnreachableError(
                f"the API server at {self.host}:{self.port} cannot be reached "
                f"({type(error).__name__}: {error})"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UnreachableError(
                f"the API server at {self.host}:{self.port} returned something other than a list of runs"
            ) from error

    def _connection(self) -> HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
        return HTTPSConnection(self.host, self.port, timeout=TIMEOUT_SECONDS, context=context)

    def _all(self, connection: HTTPSConnection) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        continue_token = ""
        for _ in range(PAGES_MAX):
            page = self._page(connection, continue_token)
            found += [item for item in page["items"] if isinstance(item, dict)]
            continue_token = page["metadata"].get("continue", "")
            if not continue_token:
                return found
        raise UnreachableError(
            f"there are more than {PAGES_MAX * PAGE_LIMIT:,} QlibShadowRuns in {self.namespace}, "
            "too many to list here; set spec.ttlSecondsAfterFinished to remove finished ones"
        )

    def _page(self, connection: HTTPSConnection, continue_token: str) -> dict[str, Any]:
        query = urlencode({"limit": PAGE_LIMIT, **({"continue": continue_token} if continue_token else {})})
        # Read each time: the token is valid for an hour, and the kubelet replaces the file before that.
        token = (self.account / "token").read_text(encoding="utf-8").strip()
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        connection.request("GET", f"{RESOURCES.format(quote(self.namespace))}?{query}", headers=headers)
        answer = connection.getresponse()
        document: dict[str, Any] = json.loads(answer.read())
        if answer.status != HTTPStatus.OK:
            raise UnreachableError(
                f"the API server answered {answer.status}: {document.get('message', answer.reason)}"
            )
        return document
