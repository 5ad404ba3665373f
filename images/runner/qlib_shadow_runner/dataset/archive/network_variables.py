"""The network variables that a child process receives for a download."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import ENV_DEADLINE_SECONDS, ENV_REQUEST
from qlib_shadow_runner.crash_points import ENV_FAULT
from qlib_shadow_runner.dataset.archive.credentials import VARIABLES as CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Mapping

PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
AUTHORITIES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
NETWORK: Final = frozenset({*PROXIES, *(name.lower() for name in PROXIES), *AUTHORITIES})


def network_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for proxies and authorities, without credentials for an archive.

    Qlib fetches with requests, which ignores OpenSSL's variables; requests gets their value in its own one.
    """
    kept = {name: value for name, value in environ.items() if name in NETWORK and value}
    openssl = kept.get("SSL_CERT_FILE") or kept.get("SSL_CERT_DIR")
    if openssl and "CURL_CA_BUNDLE" not in kept:
        kept.setdefault("REQUESTS_CA_BUNDLE", openssl)
    return kept


def download_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the dataset step needs for a download; qrun never receives them.

    The request names the run, which the lock shows to the runs that wait.
    """
    own = (*CREDENTIALS, ENV_REQUEST, ENV_DEADLINE_SECONDS, ENV_FAULT)
    return {**network_environment(environ), **{name: environ[name] for name in own if name in environ}}
