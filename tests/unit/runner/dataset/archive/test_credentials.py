"""Credentials are sent in one header to one host and appear nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import ENV_REQUEST, Reason
from qlib_shadow_runner.dataset.archive.credentials import Credentials
from qlib_shadow_runner.dataset.archive.network_variables import download_environment, network_environment
from qlib_shadow_runner.dataset.archive.url import ArchiveAddress
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.runner.dataset.archive.conftest import Files, Step, Web

TOKEN = "sesame-4711"
PASSWORD = "open-0815"
SIGNATURE = "signed-2342"
BASIC = "Basic cmVhZGVyOm9wZW4tMDgxNQ=="


def everything(step: Step) -> bytes:
    """Read all that a run leaves: its output, its report and every file on the volume."""
    places = (step.volume, step.reports)
    files = (path for place in places for path in place.rglob("*") if path.is_file())
    return "".join(step.outputs).encode() + b"".join(str(path).encode() + path.read_bytes() for path in files)


@pytest.mark.parametrize("status", [200, 401, 403, 404])
@pytest.mark.parametrize(
    ("environ", "header"),
    [
        ({"QLIB_SHADOW_ARCHIVE_TOKEN": TOKEN + "\n"}, f"Bearer {TOKEN}"),
        ({"QLIB_SHADOW_ARCHIVE_USERNAME": "reader", "QLIB_SHADOW_ARCHIVE_PASSWORD": PASSWORD}, BASIC),
    ],
)
def test_run_leaves_no_secret_in_logs_or_files(
    *,
    status: int,
    environ: dict[str, str],
    header: str,
    web: Web,
    step: Step,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    sha256: Callable[[bytes], str],
):
    """Neither in what it prints nor in what it writes, whether it succeeds or not."""
    content = pack_zip(dataset_files)
    web.will(status=status)
    step.environ = environ
    url = web.url("us.zip", content) + f"?X-Signature={SIGNATURE}"
    found = step.run({"archive": {"url": url, "sha256": sha256(content), "credentialsSecret": "archive"}})
    assert ("folder" in found) == (status == 200)
    assert web.asked[0].authorization == header
    left = everything(step)
    for secret in (TOKEN, PASSWORD, SIGNATURE, BASIC.removeprefix("Basic ")):
        assert secret.encode() not in left
    assert f"{web.base}/us.zip?…".encode() in left


def test_credentials_are_not_sent_to_another_host(
    web: Web,
    step: Step,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    sha256: Callable[[bytes], str],
):
    """A redirect takes the request there, not the header; back at home it is shown again."""
    content = pack_zip(dataset_files)
    web.url("real.zip", content)
    elsewhere = f"http://localhost:{web.server_address[1]}/real.zip"
    web.will(status=302, headers={"Location": "/again.zip"})
    web.will(status=302, headers={"Location": elsewhere})
    step.environ = {"QLIB_SHADOW_ARCHIVE_TOKEN": TOKEN}
    found = step.run({"archive": {"url": web.url("us.zip"), "sha256": sha256(content)}})
    assert "folder" in found, found
    assert [one.authorization for one in web.asked] == [f"Bearer {TOKEN}", f"Bearer {TOKEN}", None]


def test_repr_does_not_show_credentials():
    """Objects end up in logs by accident."""
    credentials = Credentials.from_environ({"QLIB_SHADOW_ARCHIVE_TOKEN": TOKEN})
    assert TOKEN not in repr(credentials)
    assert SIGNATURE not in repr(ArchiveAddress(f"https://example.com/us.zip?sig={SIGNATURE}"))


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"QLIB_SHADOW_ARCHIVE_USERNAME": "reader"},
            'Secret "login" in namespace "research" has username and no',
        ),
        ({"QLIB_SHADOW_ARCHIVE_TOKEN": TOKEN, "QLIB_SHADOW_ARCHIVE_USERNAME": "x"}, "keep one kind"),
        ({"QLIB_SHADOW_ARCHIVE_TOKEN": f"{TOKEN}\nX-Header: 1"}, "characters that a token cannot have"),
    ],
)
def test_incomplete_credentials_are_refused_without_showing_them(environ: dict[str, str], said: str):
    """A header cannot be smuggled in either."""
    with pytest.raises(StageError, match=said) as caught:
        Credentials.from_environ({**environ, ENV_REQUEST: '{"namespace": "research"}'}, "login")
    assert TOKEN not in caught.value.message


def test_secret_that_is_missing_is_named_before_the_server_is_asked(
    web: Web,
    step: Step,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    sha256: Callable[[bytes], str],
):
    """The kubelet starts the stage without it, and the server's answer would blame the server."""
    content = pack_zip(dataset_files)
    url = web.url("us.zip", content)
    found = step.run({"archive": {"url": url, "sha256": sha256(content), "credentialsSecret": "login"}})
    assert found["reason"] == "InvalidSpec"
    assert found["message"].startswith(
        'spec.dataset.source.archive.credentialsSecret: the Secret "login" in namespace "research" is not '
        "there, or has none of the keys token, username and password. Create it: "
        "kubectl create secret generic login -n research --from-literal=token=…"
    )
    assert web.asked == []


def test_url_with_a_user_name_is_refused_without_showing_it():
    """It would be in etcd for everybody who may read runs."""
    with pytest.raises(StageError, match="credentialsSecret") as caught:
        parse_spec(
            {
                "dataset": {
                    "source": {
                        "archive": {
                            "url": f"https://reader:{PASSWORD}@example.com/us.zip",
                            "sha256": "0" * 64,
                        }
                    }
                }
            }
        )
    assert caught.value.reason is Reason.INVALID_SPEC
    assert PASSWORD not in caught.value.message


def test_children_receive_network_variables_but_no_secrets():
    """Qlib's command has no use for the archive's credentials."""
    environ = {
        "HTTPS_PROXY": "http://proxy:3128",
        "no_proxy": "10.0.0.0/8",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "QLIB_SHADOW_ARCHIVE_TOKEN": TOKEN,
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    network = {name: environ[name] for name in ("HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE")}
    assert network_environment(environ) == {**network, "REQUESTS_CA_BUNDLE": "/etc/ca.pem"}
    assert download_environment(environ)["QLIB_SHADOW_ARCHIVE_TOKEN"] == TOKEN
    assert "AWS_SECRET_ACCESS_KEY" not in download_environment(environ)
