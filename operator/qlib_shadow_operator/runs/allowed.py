"""The setting that says what a run may choose beside the operator's defaults.

Every list is empty by default: a run then has what the operator gives to all runs, and no Secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from qlib_shadow_runner.contract.fields import Object, Record, defaulted, required
from qlib_shadow_runner.contract.kinds import ListOf, Text, TextCheck, matches
from qlib_shadow_runner.contract.place import Place
from qlib_shadow_runner.contract.urls import url

if TYPE_CHECKING:
    from collections.abc import Iterable

ALL: Final = "*"
ENTRY: Final = Text(
    512, (matches(r"[^*\s]*\*?", "must be a name without spaces; * may only stand at its end"),)
)
ENTRIES: Final = ListOf(ENTRY, 100, 'names; * at the end of one stands for the rest, and "*" for all')
IMAGES: Final = ListOf(
    Text(
        512,
        (
            *ENTRY.checks,
            TextCheck(
                "must have the registry and a slash before its *, as in registry.example/research/*, since "
                "registry.example* is also the beginning of another registry's name",
                lambda entry: entry == ALL or not entry.endswith(ALL) or "/" in entry,
            ),
        ),
    ),
    100,
    "images, for example [registry.example/research/*]",
)
ADDRESS: Final = Text(
    2048,
    (
        TextCheck(
            "must be the beginning of an https address, such as https://data.example/feeds/, without ? "
            'and #; or "*" for any address',
            lambda address: address == ALL or (_is_address(address) and not set("?#") & set(address)),
        ),
    ),
)


def _is_address(address: str) -> bool:
    place = Place("")
    url().read(address, place)
    return not place.faults


@dataclass(frozen=True)
class AllowedSecret(Record):
    """A Secret that a run may have sent to addresses that begin so."""

    LACK = "the Secret, and the beginning of the addresses that it may be sent to"
    name: str = required(ENTRY, "Name of the Secret.")
    url: str = required(ADDRESS, "How the addresses begin.")

    def covers(self, secret: str, address: str) -> bool:
        """Return whether the Secret may be sent there."""
        return covers((self.name,), secret) and (self.url == ALL or _begins(address, self.url))


@dataclass(frozen=True)
class Allowed(Record):
    """What runs may choose; the operator's own defaults are always allowed."""

    secrets: tuple[AllowedSecret, ...] = defaulted(
        ListOf(Object(AllowedSecret), 100, "Secrets, as [{name: login, url: https://data.example/}]"),
        "Secrets for archives, each with the addresses that it may be sent to.",
        (),
    )
    pull_secrets: tuple[str, ...] = defaulted(ENTRIES, "Secrets that images are pulled with.", ())
    images: tuple[str, ...] = defaulted(IMAGES, "Images.", ())
    claims: tuple[str, ...] = defaulted(ENTRIES, "Claims that are mounted at /data.", ())
    node_labels: tuple[str, ...] = defaulted(ENTRIES, "Keys of node labels, for every kind of placement.", ())
    tolerations: tuple[str, ...] = defaulted(ENTRIES, "Keys of taints.", ())
    priority_classes: tuple[str, ...] = defaulted(ENTRIES, "PriorityClasses.", ())
    runtime_classes: tuple[str, ...] = defaulted(ENTRIES, "RuntimeClasses.", ())
    labels: tuple[str, ...] = defaulted(ENTRIES, "Keys of labels.", ())
    annotations: tuple[str, ...] = defaulted(ENTRIES, "Keys of annotations.", ())
    service_accounts: tuple[str, ...] = defaulted(ENTRIES, "ServiceAccounts of the download stage.", ())
    env: tuple[str, ...] = defaulted(ENTRIES, "Names of variables of the download stage.", ())


def covers(entries: Iterable[str], value: str) -> bool:
    """Return whether an entry names the value, or has its beginning and a *."""
    return any(value.startswith(entry[:-1]) if entry.endswith(ALL) else value == entry for entry in entries)


def _begins(address: str, beginning: str) -> bool:
    """Return whether an address lies below another one, on the same server."""
    if not _is_address(address):
        return False
    wanted, given = urlsplit(beginning), urlsplit(address)
    same = (_server(wanted.scheme, wanted.hostname, wanted.port)) == _server(
        given.scheme, given.hostname, given.port
    )
    path = unquote(given.path).replace("\\", "/")
    # A server may resolve "..", however often it is encoded; then the path is another one.
    climbs = "%" in path or any(part.partition(";")[0] == ".." for part in path.split("/"))
    folder = wanted.path.rstrip("/")
    return same and (not folder or (not climbs and f"{given.path}/".startswith(f"{folder}/")))


def _server(scheme: str, host: str | None, port: int | None) -> tuple[str, str | None, int]:
    return scheme, host, port or {"http": 80}.get(scheme, 443)
