"""Who may look: on this machine's own address its users, elsewhere whoever shows the token."""

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

WORD = "a-word-that-nobody-guesses"


@pytest.fixture(scope="module")
def pages(small: SmallVolume) -> Iterator[Served]:
    """Serve them on every address of this machine."""
    with served(small, "--host", "0.0.0.0", **{ENV_TOKEN: WORD}) as one:
        yield one


@pytest.mark.parametrize(
    "path", ["/", "/runs/nightly-0", "/runs/nightly-0/files/metrics.json", "/followup", "/x"]
)
def test_without_the_token_nothing_is_told(pages: Served, path: str):
    """But where to get it."""
    for headers in ({}, {"Cookie": f"qlib_shadow_ui_{pages.port}={WORD}"}, {"Authorization": "Bearer wrong"}):
        answer = pages.get(path, **headers)
        assert answer.status == 401
        assert "These pages require a token" in answer.text
        assert "nightly" not in answer.text
    assert "That is not the token" in pages.get(f"{path}?token=wrong").text


def test_the_token_becomes_a_cookie_and_leaves_the_address(pages: Served):
    """The cookie is not the token, and no script can read it."""
    answer = pages.get(f"/runs/nightly-0?a=1&token={WORD}&b=2%263")
    assert (answer.status, answer.headers["location"]) == (303, "/runs/nightly-0?a=1&b=2%263")
    cookie = answer.headers["set-cookie"]
    assert re.fullmatch(
        rf"qlib_shadow_ui_{pages.port}=[0-9a-f]{{64}}; HttpOnly; Path=/; SameSite=lax", cookie
    )
    assert WORD not in cookie
    kept = cookie.partition(";")[0]
    assert pages.get("/runs/nightly-0", Cookie=kept).status == 200
    assert pages.get("/runs/nightly-0", Cookie=kept[:-1] + "x").status == 401
    assert pages.get("/runs/nightly-0", Cookie=f"other=1; {kept}").status == 200


def test_programs_show_it_in_a_header(pages: Served):
    """Under whatever name the server is reached."""
    for host in ("localhost", "runs.example.com"):
        assert pages.get("/", Authorization=f"Bearer {WORD}", Host=host).status == 200


@pytest.mark.parametrize("path", ["//evil.example/", "/%2F/evil.example", "/\\evil.example"])
def test_the_way_back_leads_nowhere_else(pages: Served, path: str):
    """An address that begins with two slashes is another site."""
    location = pages.get(f"{path}?token={WORD}").headers["location"]
    assert re.match(r"/[^/\\]", location)


def test_probes_need_no_token(pages: Served):
    """They tell nothing."""
    assert pages.get("/healthz").text == "ok\n"
    assert pages.get("/static/ui.css").status == 200
    assert pages.get("/", "POST").status == 405


def test_the_word_is_never_printed(pages: Served):
    """Who gave it knows it; logs are read by others."""
    assert WORD not in pages.said
    assert WORD not in repr(Token(WORD))


def test_a_token_is_made_where_none_is_given(small: SmallVolume):
    """And printed within the address, once; two servers have two."""
    words = []
    for _ in range(2):
        with served(small, "--host", "0.0.0.0", **{ENV_TOKEN: ""}) as one:
            found = re.search(r"http://localhost:\d+(/\?token=(\S+)) ", one.said)
            assert found, one.said
            words.append(found[2])
            assert one.get("/").status == 401
            assert one.get(found[1]).status == 303
    assert words[0] != words[1]
    assert min(map(len, words)) >= 32


def test_a_token_may_be_asked_for_here_too(small: SmallVolume, tmp_path_factory: pytest.TempPathFactory):
    """Where others have accounts on the machine."""
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(f"{WORD}\n")
    with served(small, "--token-file", str(file)) as one:
        assert one.get("/").status == 401
        assert one.get("/", Authorization=f"Bearer {WORD}").status == 200
        assert one.get("/", Authorization=f"Bearer {WORD}", Host="evil.example").status == 421
