"""Access to the pages: on 127.0.0.1 without a token, elsewhere with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.ui.conftest import served

from qlib_shadow_runner.ui.tokens import ENV_TOKEN, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.runner.catalog.volumes import SmallVolume
    from tests.unit.runner.ui.conftest import Served

TOKEN = "a-token-for-these-tests"


@pytest.fixture(scope="module")
def pages(small: SmallVolume) -> Iterator[Served]:
    """Serve the pages on every address of this machine."""
    with served(small, "--host", "0.0.0.0", **{ENV_TOKEN: TOKEN}) as one:
        yield one


@pytest.mark.parametrize(
    "path", ["/", "/runs/nightly-0", "/runs/nightly-0/files/metrics.json", "/followup", "/x"]
)
def test_without_the_token_nothing_is_shown(pages: Served, path: str):
    """Only where to get the token."""
    for headers in (
        {},
        {"Cookie": f"qlib_shadow_ui_{pages.port}={TOKEN}"},
        {"Authorization": "Bearer wrong"},
    ):
        answer = pages.get(path, **headers)
        assert answer.status == 401
        assert "These pages require a token" in answer.text
        assert "nightly" not in answer.text
    assert "That is not the token" in pages.get(f"{path}?token=wrong").text


def test_token_becomes_a_cookie_and_is_removed_from_the_address(pages: Served):
    """The cookie is not the token, and scripts cannot read it."""
    answer = pages.get(f"/runs/nightly-0?a=1&token={TOKEN}&b=2%263")
    assert (answer.status, answer.headers["location"]) == (303, "/runs/nightly-0?a=1&b=2%263")
    cookie = answer.headers["set-cookie"]
    assert re.fullmatch(
        rf"qlib_shadow_ui_{pages.port}=[0-9a-f]{{64}}; HttpOnly; Path=/; SameSite=lax", cookie
    )
    assert TOKEN not in cookie
    value = cookie.partition(";")[0]
    assert pages.get("/runs/nightly-0", Cookie=value).status == 200
    assert pages.get("/runs/nightly-0", Cookie=value[:-1] + "x").status == 401
    assert pages.get("/runs/nightly-0", Cookie=f"other=1; {value}").status == 200


def test_programs_send_the_token_in_a_header(pages: Served):
    """With any host name."""
    for host in ("localhost", "runs.example.com"):
        assert pages.get("/", Authorization=f"Bearer {TOKEN}", Host=host).status == 200


@pytest.mark.parametrize("path", ["//evil.example/", "/%2F/evil.example", "/\\evil.example"])
def test_redirect_stays_on_this_server(pages: Served, path: str):
    """An address that starts with two slashes would be another site."""
    location = pages.get(f"{path}?token={TOKEN}").headers["location"]
    assert re.match(r"/[^/\\]", location)


def test_probes_need_no_token(pages: Served):
    """Their answers say nothing about runs."""
    assert pages.get("/healthz").text == "ok\n"
    assert pages.get("/static/ui.css").status == 200
    assert pages.get("/", "POST").status == 405


def test_given_token_is_never_printed(pages: Served):
    """Others may read the log."""
    assert TOKEN not in pages.first_line
    assert TOKEN not in repr(Token(TOKEN))


def test_token_is_generated_if_none_is_given(small: SmallVolume):
    """It is printed once, in the address; two servers have different tokens."""
    tokens = []
    for _ in range(2):
        with served(small, "--host", "0.0.0.0", **{ENV_TOKEN: ""}) as one:
            found = re.search(r"http://localhost:\d+(/\?token=(\S+)) ", one.first_line)
            assert found, one.first_line
            tokens.append(found[2])
            assert one.get("/").status == 401
            assert one.get(found[1]).status == 303
    assert tokens[0] != tokens[1]
    assert min(map(len, tokens)) >= 32


def test_token_can_be_required_on_the_loopback_address(
    small: SmallVolume, tmp_path_factory: pytest.TempPathFactory
):
    """For a machine that others use too."""
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(f"{TOKEN}\n")
    with served(small, "--token-file", str(file)) as one:
        assert one.get("/").status == 401
        assert one.get("/", Authorization=f"Bearer {TOKEN}").status == 200
        assert one.get("/", Authorization=f"Bearer {TOKEN}", Host="evil.example").status == 421
