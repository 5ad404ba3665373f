"""The operator's settings from environment variables. A wrong one stops the process with one sentence."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar
from zoneinfo import ZoneInfo

from qlib_shadow_operator.kube.timeouts import RECOVERY_LIMIT, WATCH_SECONDS
from qlib_shadow_operator.runs.defaults import Defaults, StageDefaults
from qlib_shadow_runner import contract
from qlib_shadow_runner.contract import Stage
from qlib_shadow_runner.contract.escapes import in_a_sentence
from qlib_shadow_runner.contract.kinds import quoted
from qlib_shadow_runner.contract.strict_json import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

PREFIX: Final = "QLIB_SHADOW_"
PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
LOG_FORMATS: Final = ("json", "text")
SERVICE_LINK: Final = r"_(SERVICE_(HOST|PORT)|PORT)(_|$)"
"""Variables that Kubernetes adds for Services whose names begin with the same prefix."""
FOREIGN: Final = frozenset(getattr(contract, name) for name in dir(contract) if name.startswith("ENV_"))
"""Variables of the runner: allowed in the operator's environment, and ignored."""
PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
QUANTITY: Final = r"\+?([0-9]{1,18}(\.[0-9]{0,9})?|\.[0-9]{1,9})([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?"
"""As in the chart's values.schema.json."""


class SettingsError(ValueError):
    """A setting cannot be used; the message is for the person who set it."""

    def __init__(self, message: str) -> None:
        super().__init__(in_a_sentence(message))


@dataclass(frozen=True)
class Settings:
    """All settings of the operator."""

    defaults: Defaults = field(default_factory=Defaults)
    namespaces: tuple[str, ...] = ()
    """Namespaces to watch; empty means the whole cluster."""
    workers: int = 8
    resync_seconds: float = 600.0
    health_port: int = 8080
    """The port of /metrics, /healthz and /readyz."""
    watch_limit_seconds: float = 300.0
    stall_limit_seconds: float = 300.0
    contact_limit_seconds: float = 90.0
    log_level: str = "INFO"
    log_format: str = "json"


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings from the environment, or raise a SettingsError."""
    env = _Environment(environ)
    settings = _read(env)
    env.check_all_known()
    return settings


def default_settings() -> dict[str, str]:
    """Return the name of every variable with its default, written as a user would write it."""
    env = _Environment({})
    _read(env)
    return {name: _written(default) for name, default in env.known.items()}


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value) if value else ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _read(env: _Environment) -> Settings:
    return Settings(
        defaults=_defaults(env),
        namespaces=env.get("NAMESPACES", _names, ()),
        workers=env.get("WORKERS", _whole(1, 64), Settings.workers),
        resync_seconds=env.get("RESYNC_SECONDS", _whole(10, 86_400), Settings.resync_seconds),
        health_port=env.get("HEALTH_PORT", _whole(0, 65_535), Settings.health_port),
        watch_limit_seconds=env.get(
            "WATCH_LIMIT_SECONDS", _whole(math.ceil(RECOVERY_LIMIT), 86_400), Settings.watch_limit_seconds
        ),
        stall_limit_seconds=env.get("STALL_LIMIT_SECONDS", _whole(60, 86_400), Settings.stall_limit_seconds),
        contact_limit_seconds=env.get(
            "CONTACT_LIMIT_SECONDS", _whole(WATCH_SECONDS + 15, 86_400), Settings.contact_limit_seconds
        ),
        log_level=env.get("LOG_LEVEL", _one_of(LOG_LEVELS), Settings.log_level),
        log_format=env.get("LOG_FORMAT", _one_of(LOG_FORMATS), Settings.log_format),
    )


def _defaults(env: _Environment) -> Defaults:
    base = Defaults()
    return Defaults(
        image=env.get("RUNNER_IMAGE", _text, base.image),
        image_pull_policy=env.get("RUNNER_IMAGE_PULL_POLICY", _one_of(PULL_POLICIES), base.image_pull_policy),
        image_pull_secrets=env.get("RUNNER_IMAGE_PULL_SECRETS", _names, base.image_pull_secrets),
        claim_name=env.get("CLAIM_NAME", _name, base.claim_name),
        uid=env.get("RUN_AS_USER", _whole(1, 2**31 - 1), base.uid),
        gid=env.get("RUN_AS_GROUP", _whole(1, 2**31 - 1), base.gid),
        time_zone=env.get("TIME_ZONE", _time_zone, base.time_zone),
        work_size=env.get("WORK_SIZE", _quantity, base.work_size),
        shared_memory_size=env.get("SHARED_MEMORY_SIZE", _quantity, base.shared_memory_size),
        features_cache_bytes=env.get("FEATURES_CACHE_BYTES", _bytes, base.features_cache_bytes),
        proxies=env.get("DOWNLOAD_PROXIES", _proxies, base.proxies),
        start_timeout=timedelta(
            seconds=env.get(
                "START_TIMEOUT_SECONDS", _whole(10, 86_400), int(base.start_timeout.total_seconds())
            )
        ),
        query_after=timedelta(
            seconds=env.get("QUERY_AFTER_SECONDS", _whole(1, 600), int(base.query_after.total_seconds()))
        ),
        stages=MappingProxyType({stage: _stage(env, stage, base.stage(stage)) for stage in Stage}),
    )


def _stage(env: _Environment, stage: Stage, base: StageDefaults) -> StageDefaults:
    name = stage.name
    return replace(
        base,
        resources=env.get(f"{name}_RESOURCES", _resources, base.resources),
        active_deadline_seconds=env.get(
            f"{name}_DEADLINE_SECONDS", _whole(1, 30 * 86_400), base.active_deadline_seconds
        ),
        retries=env.get(f"{name}_RETRIES", _whole(0, 20), base.retries),
    )


class _Environment:
    """Reads variables by name, and records which names exist."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.known: dict[str, object] = {}
        """Every variable that was read, with its default."""

    def get(self, name: str, read: Callable[[str], T], default: T) -> T:
        name = PREFIX + name
        self.known[name] = default
        raw = self._environ.get(name, "").strip()
        if not raw:
            return default
        try:
            return read(raw)
        except ValueError as error:
            raise SettingsError(f"{name} is {quoted(raw)}, but {error}") from error

    def check_all_known(self) -> None:
        """Refuse what is misspelt, which would otherwise be silently without effect."""
        given = (n for n in self._environ if n.startswith(PREFIX) and n not in FOREIGN)
        unknown = sorted(n for n in given if n not in self.known and not re.search(SERVICE_LINK, n))
        if unknown:
            known = ", ".join(sorted(self.known))
            raise SettingsError(f"{unknown[0]} is not a setting of the operator; there are {known}")


def _text(raw: str) -> str:
    if any(character.isspace() for character in raw):
        raise ValueError("it must not contain spaces")
    return raw


def _name(raw: str) -> str:
    if len(raw) > 253 or not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", raw):  # noqa: PLR2004
        raise ValueError('it must be a name of lower-case letters, digits, "-" and "."')
    return raw


def _names(raw: str) -> tuple[str, ...]:
    return tuple(_name(part.strip()) for part in raw.split(",") if part.strip())


def _quantity(raw: str) -> str:
    if not re.fullmatch(QUANTITY, raw):
        raise ValueError('it must be a quantity, for example "4Gi"')
    return raw


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(raw: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", raw) or not low <= int(raw) <= high:
            raise ValueError(f"it must be a whole number from {low} to {high}")
        return int(raw)

    return read


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def read(raw: str) -> str:
        if raw not in choices:
            raise ValueError(f"it must be one of {', '.join(choices)}")
        return raw

    return read


def _bytes(raw: str) -> str:
    if not re.fullmatch(r"[0-9]{1,18}", raw):
        raise ValueError("it must be a whole number of bytes, for example 21474836480 for 20 GiB")
    return raw


def _proxies(raw: str) -> dict[str, str]:
    try:
        found = parse_json(raw)
    except ValueError as error:
        raise ValueError(f"it must be JSON with {', '.join(PROXIES)}") from error
    if not isinstance(found, dict) or not set(found) <= set(PROXIES):
        raise ValueError(f"it must be JSON with no other keys than {', '.join(PROXIES)}")
    if not all(isinstance(value, str) for value in found.values()):
        raise ValueError("every proxy must be text")
    return found


def _time_zone(raw: str) -> str:
    try:
        ZoneInfo(raw)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError('it must be a time zone, for example "America/New_York"') from error
    return raw


def _resources(raw: str) -> dict[str, Any]:
    try:
        found = parse_json(raw)
    except ValueError as error:
        raise ValueError("it must be JSON with requests and limits") from error
    if not isinstance(found, dict) or not set(found) <= {"requests", "limits"}:
        raise ValueError('it must be JSON like {"requests": {"cpu": "1"}, "limits": {"memory": "8Gi"}}')
    for side in found.values():
        if not isinstance(side, dict) or not all(re.fullmatch(QUANTITY, str(one)) for one in side.values()):
            raise ValueError(
                'its requests and limits must map names to quantities, for example {"memory": "8Gi"}'
            )
    return found
