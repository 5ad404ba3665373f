"""A wrong setting is one sentence that names the variable, its value and the valid values."""

# ruff: noqa: E501 - a table reads best in rows
from __future__ import annotations

import re
from pathlib import Path

import pytest

from qlib_shadow_operator.__main__ import EXIT_USAGE, main
from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.settings import Settings, SettingsError, default_settings, read_settings
from qlib_shadow_runner.contract import Stage

DOCUMENT = Path(__file__).parents[3] / "docs/settings.md"
FAULTS = {
    ("QLIB_SHADOW_WORKERS", "many"): 'QLIB_SHADOW_WORKERS is "many", but it must be a whole number from 1 to 64',
    ("QLIB_SHADOW_RUN_AS_USER", "0"): 'QLIB_SHADOW_RUN_AS_USER is "0", but it must be a whole number from 1 to 2147483647',
    ("QLIB_SHADOW_CLAIM_NAME", "My Claim"): (
        'QLIB_SHADOW_CLAIM_NAME is "My Claim", but it must be a name of lower-case letters, digits, "-" and "."'
    ),
    ("QLIB_SHADOW_RUNNER_IMAGE", "a b"): 'QLIB_SHADOW_RUNNER_IMAGE is "a b", but it must not contain spaces',
    ("QLIB_SHADOW_TIME_ZONE", "Mars/Olympus"): (
        'QLIB_SHADOW_TIME_ZONE is "Mars/Olympus", but it must be a time zone, for example "America/New_York"'
    ),
    ("QLIB_SHADOW_LOG_LEVEL", "loud"): (
        'QLIB_SHADOW_LOG_LEVEL is "loud", but it must be one of DEBUG, INFO, WARNING, ERROR'
    ),
    ("QLIB_SHADOW_QRUN_RESOURCES", "8Gi"): (
        'QLIB_SHADOW_QRUN_RESOURCES is "8Gi", but it must be JSON with requests and limits'
    ),
    ("QLIB_SHADOW_QRUN_RESOURCES", '{"limits": {"memory": "lots"}}'): (
        'QLIB_SHADOW_QRUN_RESOURCES is "{"limits": {"memory": "lots"}}", but its requests and limits must map '
        'names to quantities, for example {"memory": "8Gi"}'
    ),
    ("QLIB_SHADOW_DOWNLOAD_PROXIES", "http://proxy:3128"): (
        'QLIB_SHADOW_DOWNLOAD_PROXIES is "http://proxy:3128", but it must be JSON with HTTP_PROXY, HTTPS_PROXY, NO_PROXY'
    ),
    ("QLIB_SHADOW_DOWNLOAD_PROXIES", '{"PATH": "/"}'): (
        'QLIB_SHADOW_DOWNLOAD_PROXIES is "{"PATH": "/"}", but it must be JSON with no other keys than '
        'HTTP_PROXY, HTTPS_PROXY, NO_PROXY'
    ),
    ("QLIB_SHADOW_ALLOWED", "all"): (
        'QLIB_SHADOW_ALLOWED is "all", but it must be JSON with any of secrets, pullSecrets, images, claims, nodeLabels, '
        'tolerations, priorityClasses, runtimeClasses, labels, annotations, serviceAccounts, env'
    ),
    ("QLIB_SHADOW_ALLOWED", "[]"): 'QLIB_SHADOW_ALLOWED is "[]", but it must be a mapping of fields, not []',
    ("QLIB_SHADOW_ALLOWED", '{"image": ["a"]}'): (
        'QLIB_SHADOW_ALLOWED is "{"image": ["a"]}", but it has no field "image"; there are secrets, pullSecrets, images, '
        'claims, nodeLabels, tolerations, priorityClasses, runtimeClasses, labels, annotations, serviceAccounts, env'
    ),
    ("QLIB_SHADOW_ALLOWED", '{"claims": "a"}'): (
        'QLIB_SHADOW_ALLOWED is "{"claims": "a"}", but claims must be a list of at most 100 names; * at the end of one '
        'stands for the rest, and "*" for all, not \'a\''
    ),
    ("QLIB_SHADOW_ALLOWED", '{"claims": ["a*b"]}'): (
        'QLIB_SHADOW_ALLOWED is "{"claims": ["a*b"]}", but claims[0] "a*b" must be a name without spaces; * may only '
        'stand at its end'
    ),
    ("QLIB_SHADOW_ALLOWED", '{"images": ["registry.example*"]}'): (
        'QLIB_SHADOW_ALLOWED is "{"images": ["registry.example*"]}", but images[0] "registry.example*" must have the '
        'registry and a slash before its *, as in registry.example/research/*, since registry.example* is also the '
        "beginning of another registry's name"
    ),
    ("QLIB_SHADOW_ALLOWED", '{"secrets": ["login"]}'): (
        'QLIB_SHADOW_ALLOWED is "{"secrets": ["login"]}", but secrets[0] must be a mapping of fields, not \'login\''
    ),
    ("QLIB_SHADOW_ALLOWED", '{"secrets": [{"name": "a"}]}'): (
        'QLIB_SHADOW_ALLOWED is "{"secrets": [{"name": "a"}]}", but secrets[0] lacks url: the Secret, and the beginning of '
        'the addresses that it may be sent to'
    ),
    ("QLIB_SHADOW_ALLOWED", '{"secrets": [{"name": "a", "url": "http://b/"}]}'): (
        'QLIB_SHADOW_ALLOWED is "{"secrets": [{"name": "a", "url": "http://b/"}]}", but secrets[0].url "http://b/" must be '
        'the beginning of an https address, such as https://data.example/feeds/, without ? and #; or "*" for any address'
    ),
    ("QLIB_SHADOW_PODS", '{"hostNetwork": true}'): (
        'QLIB_SHADOW_PODS is "{"hostNetwork": true}", but it has no field "hostNetwork"; there are nodeSelector, '
        'tolerations, affinity, topologySpreadConstraints, priorityClassName, runtimeClassName, labels, annotations, '
        'serviceAccountName, env'
    ),
    ("QLIB_SHADOW_PODS", '{"env": {"TZ": "UTC"}}'): (
        'QLIB_SHADOW_PODS is "{"env": {"TZ": "UTC"}}", but env "TZ" has a setting of its own, or belongs to qlib-shadow; '
        'leave it out'
    ),
    ("QLIB_SHADOW_PODS", '{"labels": {"qlibshadow.io/run": "x"}}'): (
        'QLIB_SHADOW_PODS is "{"labels": {"qlibshadow.io/run": "x"}}", but labels "qlibshadow.io/run" is reserved: '
        'qlib-shadow, Kueue or the Job controller sets it; leave it out'
    ),
    ("QLIB_SHADOW_PODS", '{"tolerations": [{"effect": "NoExecute"}]}'): (
        'QLIB_SHADOW_PODS is "{"tolerations": [{"effect": "NoExecute"}]}", but tolerations[0] needs operator Exists without '
        'a key, since it then tolerates every taint; write the key'
    ),
    ("QLIB_SHADOW_JOB_TTL_SECONDS", "1d"): (
        'QLIB_SHADOW_JOB_TTL_SECONDS is "1d", but it must be a whole number from 0 to 2147483647'
    ),
    ("QLIB_SHADOW_WATCH_LIMIT_SECONDS", "60"): (
        'QLIB_SHADOW_WATCH_LIMIT_SECONDS is "60", but it must be a whole number from 69 to 86400'
    ),
    ("QLIB_SHADOW_FEATURES_CACHE_BYTES", "20G"): (
        'QLIB_SHADOW_FEATURES_CACHE_BYTES is "20G", but it must be a whole number of bytes, for example 21474836480 '
        'for 20 GiB'
    ),
    ("QLIB_SHADOW_WORK_SIZE", "big"): 'QLIB_SHADOW_WORK_SIZE is "big", but it must be a quantity, for example "4Gi"',
}  # fmt: skip


@pytest.mark.parametrize(("variable", "sentence"), FAULTS.items(), ids=lambda one: str(one[0])[:40])
def test_a_wrong_setting_is_one_sentence(variable: tuple[str, str], sentence: str):
    """Verbatim."""
    with pytest.raises(SettingsError) as raised:
        read_settings(dict([variable]))
    assert str(raised.value) == sentence


def test_misspelt_setting_is_refused():
    """It would otherwise have no effect, without notice."""
    with pytest.raises(
        SettingsError, match=r"^QLIB_SHADOW_CLAIM is not a setting of the operator; there are QLIB_"
    ):
        read_settings({"QLIB_SHADOW_CLAIM": "x"})


def test_process_prints_the_sentence_and_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """No traceback."""
    monkeypatch.setenv("QLIB_SHADOW_WORKERS", "0")
    assert main() == EXIT_USAGE == 2
    assert capsys.readouterr().err == (
        'QLIB_SHADOW_WORKERS is "0", but it must be a whole number from 1 to 64\n'
    )


def test_nothing_needs_to_be_set():
    """Empty is the same as absent, and foreign variables are ignored."""
    environ = {
        "QLIB_SHADOW_WORKERS": "",
        "QLIB_SHADOW_IMAGE": "the runner's own",
        "QLIB_SHADOW_OPERATOR_SERVICE_HOST": "10.0.0.1",
        "QLIB_SHADOW_OPERATOR_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    }
    settings = read_settings(environ)
    assert settings.workers == Settings().workers
    assert settings.namespaces == ()
    assert settings.defaults.image == Defaults().image


def test_every_kind_of_setting_is_parsed():
    """Names, numbers, lists, quantities, JSON."""
    settings = read_settings(
        {
            "QLIB_SHADOW_NAMESPACES": "one, two",
            "QLIB_SHADOW_RUN_AS_USER": "2000",
            "QLIB_SHADOW_TIME_ZONE": "America/New_York",
            "QLIB_SHADOW_QRUN_RESOURCES": '{"limits": {"memory": "16Gi"}}',
            "QLIB_SHADOW_DOWNLOAD_RETRIES": "5",
            "QLIB_SHADOW_START_TIMEOUT_SECONDS": "60",
            "QLIB_SHADOW_QUERY_AFTER_SECONDS": "5",
            "QLIB_SHADOW_DOWNLOAD_PROXIES": '{"HTTPS_PROXY": "http://proxy:3128"}',
        }
    )
    assert settings.namespaces == ("one", "two")
    assert settings.defaults.uid == 2000
    assert settings.defaults.time_zone == "America/New_York"
    assert settings.defaults.stage(Stage.QRUN).resources == {"limits": {"memory": "16Gi"}}
    assert settings.defaults.stage(Stage.DOWNLOAD).retries == 5
    assert settings.defaults.start_timeout.total_seconds() == 60
    assert settings.defaults.query_after.total_seconds() == 5
    assert settings.defaults.proxies == {"HTTPS_PROXY": "http://proxy:3128"}


def test_every_setting_is_documented_with_its_default():
    """No more and no less."""
    row = re.compile(r"\| `(QLIB_SHADOW_\w+)` \| (?:`(.+?)`)? ?\| .+ \|")
    rows = [row.fullmatch(line) for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert {one[1]: one[2] or "" for one in rows if one} == default_settings()
    assert all(rows)


def test_written_defaults_equal_unset_variables():
    """Setting every variable to its default changes nothing."""
    assert read_settings(default_settings()) == read_settings({})


def test_the_documented_limits_hold():
    """The documented minimum is accepted, and less is refused."""
    least = {
        name: found[1]
        for line in DOCUMENT.read_text().splitlines()
        if (found := re.search(r"\b(\d+) to \d+\b", line))
        for name in re.findall(r"`(QLIB_SHADOW_\w+)`", line)
    }
    assert len(least) == 13
    read_settings(least)
    for name, value in least.items():
        with pytest.raises(SettingsError, match=rf"^{name} is .* it must be a whole number from {value} to "):
            read_settings({name: str(int(value) - 1)})
