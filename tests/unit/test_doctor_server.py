"""The doctor's checks of Kubeflow's API server, against the double, healthy and failing."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from aegan_pipelines import connection, context
from aegan_pipelines.doctor import examine, server
from aegan_pipelines.doctor.check import Check

from tests.conftest import context_file
from tests.kfp_server import KfpServer
from tests.loopback import Loopback

SECRET = "top.secret.token"

pytestmark = pytest.mark.usefixtures("no_surroundings")


def look(**options: str | None) -> list[Check]:
    """The checks of the API server, as the command with these options makes them."""
    context, broken = examine._context(options)
    assert broken is None
    checks = list(examine._server(context))
    assert SECRET not in "\n".join(item.line() for item in checks)
    return checks


def statuses(checks: list[Check]) -> list[str]:
    return [item.status for item in checks]


def test_a_good_server_passes(kfp_server: KfpServer) -> None:
    checks = look(host=kfp_server.url)
    assert [(item.name, item.status, item.text) for item in checks] == [
        ("API server", "ok", f"{kfp_server.url}, single-user"),
        ("API version", "ok", "v2beta1, release 2.17.0"),
        ("API access", "ok", "runs can be listed, with no credentials"),
    ]
    paths = [path for _, path, _ in kfp_server.journal]
    assert paths == ["/apis/v2beta1/healthz", "/apis/v2beta1/runs"]


def test_a_server_of_several_users_is_asked_about_the_namespace(
    kfp_server: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kfp_server.multi_user, kfp_server.denied = True, {"theirs"}
    nameless = look(host=kfp_server.url)
    assert statuses(nameless) == ["ok", "ok", "fail"]
    assert "expected --namespace NAME" in nameless[2].text
    monkeypatch.setenv("AEGAN_NAMESPACE", "team")
    checks = look(host=kfp_server.url)
    assert (checks[0].text, checks[2].text[:39]) == (
        f"{kfp_server.url}, multi-user",
        "runs of the namespace team can be liste",
    )
    denied = look(host=kfp_server.url, namespace="theirs")
    assert statuses(denied) == ["ok", "ok", "fail"]
    assert "does not allow this: HTTP 403" in denied[2].text
    assert "kubeflow-edit" in denied[2].text


@pytest.mark.parametrize(
    ("way", "who"),
    [
        ("AEGAN_TOKEN", "a bearer token"),
        ("KF_PIPELINES_SA_TOKEN_PATH", "the token of"),
        ("AEGAN_COOKIE", "a session cookie"),
        ("token_file", "the token of"),
        ("cookie_file", "a session cookie"),
        ("context: token", "a bearer token"),
        ("context: token_file", "the token of"),
        ("context: cookie_file", "a session cookie"),
    ],
)
def test_each_way_to_say_who_we_are_is_taken(
    way: str, who: str, kfp_server: KfpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kfp_server.token = SECRET
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    options = {"host": kfp_server.url}
    named = way.removeprefix("context: ")
    value = str(file) if named.endswith(("file", "PATH")) else SECRET
    if way == "AEGAN_COOKIE":
        value = f"oauth2_proxy_kubeflow={SECRET}"
    elif "cookie" in way:
        file.write_text(f"authservice_session={SECRET}\n")
    if way.startswith("context"):
        context_file(f"{named}: {value}\n")
    elif way.isupper():
        monkeypatch.setenv(way, value)
    else:
        options[way] = value
    checks = look(**options)
    assert statuses(checks) == ["ok", "ok", "ok"]
    assert f"with {who}" in checks[2].text


def test_the_context_file_says_where_and_what_to_trust(
    kfp_server: KfpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kfp_server.multi_user = True
    authority = tmp_path / "company.pem"
    authority.touch()
    context_file(f"host: {kfp_server.url}\nnamespace: team\nca_certificate: {authority}\n")
    assert statuses(look()) == ["ok", "ok", "ok"]
    made: dict[str, Any] = {}
    monkeypatch.setattr(connection, "Api", lambda *_, **how: made.update(how))
    server.open_api(examine._context({})[0])
    assert made == {"ca_certificate": str(authority), "timeout": 5.0, "attempts": 2}


def test_inside_a_cluster_nothing_need_be_said(
    kfp_server: KfpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "namespace").write_text("own")
    kfp_server.token, kfp_server.multi_user = SECRET, True
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(context, "IN_CLUSTER", kfp_server.url)
    monkeypatch.setattr(context, "PROJECTED_TOKEN", str(tmp_path / "token"))
    monkeypatch.setattr(connection, "POD_NAMESPACE", str(tmp_path / "namespace"))
    checks = look()
    assert statuses(checks) == ["ok", "ok", "ok"]
    assert "runs of the namespace own can be listed" in checks[2].text


def test_a_pods_token_is_reviewed_where_no_gateway_asks_for_it(
    kfp_server: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kfp_server.token, kfp_server.gateway, kfp_server.multi_user = SECRET, False, True
    checks = look(host=kfp_server.url, namespace="team")
    assert statuses(checks) == ["ok", "ok", "fail"]
    assert "HTTP 401" in checks[2].text
    assert "It got no credentials" in checks[2].text
    monkeypatch.setenv("AEGAN_COOKIE", f"oauth2_proxy_kubeflow={SECRET}")
    assert statuses(look(host=kfp_server.url, namespace="team")) == ["ok", "ok", "fail"]
    monkeypatch.setenv("AEGAN_TOKEN", SECRET)
    assert statuses(look(host=kfp_server.url, namespace="team")) == ["ok", "ok", "ok"]
    monkeypatch.setenv("AEGAN_TOKEN", "of-somebody-else")
    kfp_server.multi_user = False
    assert statuses(look(host=kfp_server.url)) == ["ok", "ok", "ok"]


def test_without_a_host_the_server_is_left_out() -> None:
    (only,) = look()
    assert (only.name, only.status) == ("API server", "skip")


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, "does not know who you are: HTTP 401"),
        (302, "does not know who you are: HTTP 302"),
        (403, "does not allow this: HTTP 403"),
        (404, "is no Kubeflow Pipelines server"),
        (503, "failed: HTTP 503 (injected), 2 times in a row"),
        (0, "cannot reach Kubeflow Pipelines"),
    ],
)
@pytest.mark.parametrize("name", ["API server", "API access"])
def test_every_refusal_is_one_failure_that_says_what_to_do(
    name: str, status: int, text: str, kfp_server: KfpServer
) -> None:
    kfp_server.fail(status, times=9, match="healthz" if name == "API server" else "/runs")
    checks = look(host=kfp_server.url)
    assert [item.name for item in checks if item.status == "fail"] == [name]
    assert checks[-1].name == name
    if name == "API access" and status == 404:
        text = "not found at"
    assert text in checks[-1].text


def test_what_fails_once_is_no_failure(kfp_server: KfpServer) -> None:
    kfp_server.fail(503, match="healthz")
    kfp_server.fail(0, match="/runs")
    assert statuses(look(host=kfp_server.url)) == ["ok", "ok", "ok"]


def test_a_dead_host_and_one_that_hangs(
    kfp_server: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        (dead,) = look(host=f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert dead.status == "fail"
    assert "refused. Check --host" in dead.text
    monkeypatch.setattr(server, "SECONDS", 0.1)
    kfp_server.fail(200, times=2, delay=0.3)
    (slow,) = look(host=kfp_server.url)
    assert (slow.status, "no answer in time" in slow.text) == ("fail", True)


@pytest.mark.parametrize(
    ("tag", "status", "text"),
    [
        ("2.4.1", "warn", "release 2.4.1 is older than 2.17"),
        ("3.0.0", "warn", "release 3.0.0 is newer than 2.17"),
        ("unknown", "ok", "does not tell its release"),
        (None, "fail", "runs Kubeflow Pipelines 1.8.5: expected 2.0 or newer"),
    ],
)
def test_releases(tag: str | None, status: str, text: str, kfp_server: KfpServer) -> None:
    kfp_server.tag = tag
    checks = look(host=kfp_server.url)
    worst = checks[0] if tag is None else checks[1]
    assert (worst.status, text in worst.text) == (status, True)
    assert len(checks) == (1 if tag is None else 3)


def test_the_user_interface_tells_of_the_server_behind_it(kfp_server: KfpServer) -> None:
    kfp_server.through_ui, kfp_server.multi_user = True, True
    checks = look(host=kfp_server.url, namespace="team")
    assert [item.text for item in checks[:2]] == [
        f"{kfp_server.url}, multi-user",
        "v2beta1, release 2.17.0",
    ]
    kfp_server.ready = False
    (down,) = look(host=kfp_server.url, namespace="team")
    assert down.status == "fail"
    assert "the user interface answers, the API server behind it does not" in down.text


def test_a_page_is_no_api_and_a_token_is_not_carried_to_where_a_redirect_leads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AEGAN_TOKEN", SECRET)
    health = "GET /apis/v2beta1/healthz"
    with Loopback({health: (200, "<html>login</html>")}) as api, Loopback({}) as other:
        (page,) = look(host=api.url)
        assert "answered with a page, not with data" in page.text
        api.headers["Location"] = f"{other.url}/login"
        api.routes[health] = (307, "")
        assert statuses(look(host=api.url)) == ["fail"]
        assert other.requests == []


def test_a_server_that_echoes_the_token_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGAN_TOKEN", SECRET)
    routes: dict[str, Any] = {
        "GET /apis/v2beta1/healthz": (200, {"tag_name": f"2.17.0-{SECRET}", "multi_user": False}),
        "GET /apis/v2beta1/runs": (403, {"message": f"you sent {SECRET}"}),
    }
    with Loopback(routes) as api:
        checks = look(host=api.url)
    assert "release 2.17.0-***" in checks[1].text
    assert "you sent ***" in checks[2].text


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    (found,) = look(host=f"http://me:{SECRET}@127.0.0.1:9")
    assert (found.status, "without a user or password" in found.text) == ("fail", True)


@pytest.mark.parametrize("option", ["token_file", "cookie_file"])
def test_a_file_that_cannot_be_read_is_one_failure(option: str, kfp_server: KfpServer) -> None:
    (found,) = look(host=kfp_server.url, **{option: "/nowhere/secret"})
    assert found.status == "fail"
    assert f"cannot read the {option.replace('_', ' ')} /nowhere/secret" in found.text
