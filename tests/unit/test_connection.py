"""Reaching a cluster: where it is, who we are, and one clear error for each way it can fail."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import urllib3
from aegan_pipelines import cluster, rest
from aegan_pipelines.connection import check_server, connect, in_namespace
from aegan_pipelines.context import Context, read_context
from aegan_pipelines.credentials import Credentials
from aegan_pipelines.refusals import ClusterError
from aegan_pipelines.rest import Api
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from aegan.errors import AeganError, ConfigError
from tests.conftest import context_file
from tests.kfp_server import KfpServer, uploads
from tests.loopback import Loopback

SECRET = "s3cret-token-of-a-person"


pytestmark = pytest.mark.usefixtures("no_surroundings")


def api_of(server: KfpServer, **how: Any) -> Api:
    return Api(server.url, how.pop("credentials", Credentials()), backoff=0.01, **how)


def test_options_win_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context_file("host: http://file\nnamespace: file\nroot: gs://b/r\ntoken: from-file\n")
    monkeypatch.setenv("AEGAN_HOST", "http://environment")
    context = read_context(host=None, namespace="option")
    assert (context.host, context.namespace, context.root) == (
        "http://environment",
        "option",
        "gs://b/r",
    )
    assert context.token == "from-file"
    nearer = read_context(token_file="/some/file")
    assert (nearer.token, nearer.token_file) == (None, "/some/file")


def test_another_context_file_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("host: http://named\n")
    monkeypatch.setenv("AEGAN_CONTEXT", str(tmp_path / "c.yaml"))
    assert read_context().host == "http://named"
    monkeypatch.setenv("AEGAN_CONTEXT", str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match="none.yaml, which does not exist"):
        read_context()


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        (
            f"token: {SECRET}\n",
            0o644,
            "can be read by others (mode 0644, expected 0600): chmod 600",
        ),
        ("hots: http://x\n", 0o600, "no such setting: hots; expected one of host"),
        (f"token: [{SECRET}\n", 0o600, "is not valid YAML"),
        (f"token: {{x: {SECRET}}}\n", 0o600, "expected lines `name: text`"),
    ],
)
def test_a_wrong_context_file_is_named_and_its_secrets_are_not(
    text: str, mode: int, message: str
) -> None:
    context_file(text, mode)
    with pytest.raises(ConfigError) as caught:
        read_context()
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)


def test_without_a_host_the_ways_to_give_one_are_told() -> None:
    with pytest.raises(ConfigError, match=r"give --host URL, set AEGAN_HOST, or write"):
        connect(read_context())
    with pytest.raises(ConfigError, match="expected an address"):
        connect(Context(host="ftp://x"))
    assert connect(Context(host="kubeflow.example.com/pipeline")).host == (
        "https://kubeflow.example.com/pipeline"
    )


@pytest.mark.parametrize("host", ["https://me:hush@host", "me:hush@host", "ftp://me:hu/sh@x"])
def test_a_password_in_an_address_is_refused_and_not_shown(host: str) -> None:
    context = Context(host=host)
    with pytest.raises(ConfigError, match="without a user or password") as caught:
        connect(context)
    assert "hu" not in str(caught.value) + repr(context)


def test_inside_a_cluster_nothing_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert connect(read_context()).host == "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", "/projected/token")
    assert read_context().token_file == "/projected/token"


def test_inside_a_cluster_the_projected_token_is_sent(
    kfp_server: KfpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kfp_server.token = SECRET
    (tmp_path / "token").write_text(SECRET)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr("aegan_pipelines.context.IN_CLUSTER", kfp_server.url)
    monkeypatch.setattr("aegan_pipelines.context.PROJECTED_TOKEN", str(tmp_path / "token"))
    assert check_server(connect(read_context())).version == "2.17.0"
    kfp_server.token = "another"
    with pytest.raises(ClusterError, match=f"It got the token of {tmp_path}/token"):
        check_server(connect(read_context()))


def test_the_identity_aware_proxy_gets_googles_token_and_a_new_one_when_it_expired(
    kfp_server: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.oauth2 import id_token

    tokens, audiences = ["expired-token", "fresh-token"], []

    def fetch(_: Any, audience: str) -> str:
        audiences.append(audience)
        return tokens.pop(0)

    monkeypatch.setattr(id_token, "fetch_id_token", fetch)
    kfp_server.token = "fresh-token"
    api = connect(Context(host=kfp_server.url, iap_client_id="client"))
    assert check_server(api).version == "2.17.0"
    cluster.ensure_experiment(api, "mine", "")
    assert audiences == ["client", "client"]


def test_googles_refusal_is_said_without_what_it_knows(
    kfp_server: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.oauth2 import id_token

    def fetch(*_: Any) -> str:
        raise ValueError(SECRET)

    monkeypatch.setattr(id_token, "fetch_id_token", fetch)
    api = connect(Context(host=kfp_server.url, iap_client_id="client"))
    with pytest.raises(
        AeganError, match="Google gave no ID token for the Identity-Aware"
    ) as caught:
        check_server(api)
    assert SECRET not in str(caught.value)


def certificate(folder: Path, name: str, by: tuple[Any, Any] | None) -> tuple[Any, Any]:
    """A certificate and its key, written as NAME.pem: an authority's, or a server's signed by one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(address, critical=False)
        .sign(by[1] if by else key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / f"{name}.pem").write_bytes(made.public_bytes(pem) + private)
    return made, key


def test_a_certificate_authority_can_be_named(tmp_path: Path) -> None:
    certificate(tmp_path, "server", certificate(tmp_path, "authority", None))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    health = {"tag_name": "2.17.0", "multi_user": False}
    with Loopback({"GET /apis/v2beta1/healthz": (200, health)}, tls=context) as server:
        trusting = Context(host=server.url, ca_certificate="~/authority.pem")  # HOME is tmp_path
        assert check_server(connect(trusting)).version == "2.17.0"
        with pytest.raises(ClusterError, match="cannot reach .*certificate"):
            check_server(connect(Context(host=server.url)))


@pytest.mark.parametrize("name", ["nothing.pem", "."])
def test_certificates_that_cannot_be_read_are_named(name: str, tmp_path: Path) -> None:
    context = Context(host="https://x", ca_certificate=str(tmp_path / name))
    with pytest.raises(ConfigError, match="cannot read the ca_certificate .*expected a file of"):
        connect(context)


class OneMore(Credentials):
    """Has another token after the first, as many times as it is asked."""

    renewals = 0

    def renew(self) -> bool:
        self.renewals += 1
        self._token = "good"
        return True


def test_a_token_that_expired_is_renewed_also_on_the_last_attempt(kfp_server: KfpServer) -> None:
    kfp_server.token = "good"
    credentials = OneMore(token="expired")
    assert check_server(api_of(kfp_server, credentials=credentials, attempts=1)).version == "2.17.0"
    kfp_server.token = "another"
    with pytest.raises(ClusterError, match="does not know who you are: HTTP 401"):
        check_server(api_of(kfp_server, credentials=credentials, attempts=1))
    assert credentials.renewals == 2


@pytest.mark.parametrize(("asked", "pause"), [("3", 3), ("-1", 7), ("nan", 7), ("Fri, 1", 7)])
def test_only_a_time_to_wait_is_waited(asked: str, pause: float) -> None:
    answer = urllib3.HTTPResponse(headers={"Retry-After": asked}, status=503)
    assert rest._asked_pause(answer, 7.0) == pause


def test_secrets_are_in_no_representation() -> None:
    credentials = Credentials(token=SECRET, cookie=f"oauth2_proxy_kubeflow={SECRET}")
    context = Context(token=SECRET, cookie=SECRET)
    assert SECRET not in repr(credentials) + repr(context) + credentials.describe()
    assert credentials.redact(f"it was {SECRET}.") == "it was ***."
    several = Credentials(cookie="a_0=first; a_1=second")
    assert several.redact("first and second") == "*** and ***"


@pytest.mark.parametrize("way", ["token", "token_file", "cookie", "cookie_file"])
def test_each_way_to_say_who_we_are_is_accepted(
    kfp_server: KfpServer, way: str, tmp_path: Path
) -> None:
    kfp_server.token = SECRET
    names = ("oauth2_proxy_kubeflow=", "authservice_session=") if "cookie" in way else ("",)
    for name in names:
        (tmp_path / "file").write_text(f"{name}{SECRET}\n")
        value = str(tmp_path / "file") if way.endswith("_file") else f"{name}{SECRET}"
        check_server(connect(Context(host=kfp_server.url, **{way: value})))


@pytest.mark.parametrize("way", ["cookie", "cookie_file"])
@pytest.mark.parametrize(
    "bare", ["{}", "{}=", "{}==", "{}==|1700000000|x=", "{}|17|x=", "={}", "a={}; {}", "a={} {}"]
)
def test_a_cookie_without_a_name_is_refused_and_not_shown(
    bare: str, way: str, tmp_path: Path
) -> None:
    text = bare.replace("{}", SECRET)
    (tmp_path / "file").write_text(f"{text}\n")
    value = str(tmp_path / "file") if way == "cookie_file" else text
    with pytest.raises(ConfigError, match="expected name=value.*oauth2_proxy_kubeflow") as caught:
        connect(Context(host="https://x", **{way: value}))
    assert SECRET not in str(caught.value)
    assert (str(tmp_path) if way == "cookie_file" else "AEGAN_COOKIE") in str(caught.value)


def test_several_cookies_are_sent_as_one_header(kfp_server: KfpServer) -> None:
    kfp_server.token = "MTIz|1700000000|c2ln="
    cookie = f"other=1;empty=; oauth2_proxy_kubeflow={kfp_server.token};"
    api = connect(Context(host=kfp_server.url, cookie=cookie))
    assert api.credentials.headers() == {
        "Cookie": f"other=1; oauth2_proxy_kubeflow={kfp_server.token}"
    }
    assert check_server(api).version == "2.17.0"


def test_a_token_ends_with_its_line_and_is_never_shown(kfp_server: KfpServer) -> None:
    kfp_server.token = SECRET
    assert connect(Context(host=kfp_server.url, token=f"{SECRET}\n")).get("/experiments")
    for token in (f"{SECRET}\n{SECRET}", f"{SECRET}…", f"Bearer {SECRET}", " "):
        with pytest.raises(AeganError, match="AEGAN_TOKEN or the context file holds no") as error:
            connect(Context(host=kfp_server.url, token=token))
        assert SECRET not in str(error.value)


@pytest.mark.parametrize("host", ["http://[bad", "http://h:port", "http://", "ftp://h"])
def test_what_is_no_address_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="expected an address such as"):
        connect(Context(host=host))


def test_a_rotated_token_file_is_read_again(kfp_server: KfpServer, tmp_path: Path) -> None:
    path = tmp_path / "token"
    api = api_of(kfp_server, credentials=Credentials(token_file=str(path)))
    for token in ("first-token", "second-token"):
        kfp_server.token = token
        path.write_text(token)
        check_server(api)
    path.unlink()
    with pytest.raises(AeganError, match="cannot read the token file"):
        check_server(api)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "does not know who you are: HTTP 401.*It got a bearer token; give --token-file"),
        (302, "does not know who you are: HTTP 302"),
        (403, "does not allow this: HTTP 403.*role kubeflow-edit"),
        (404, "not found at .*: /runs/x.*Check the name or id, and --namespace"),
        (500, "failed: HTTP 500.*3 times in a row.*ml-pipeline"),
        (418, "refused GET /runs/x: HTTP 418"),
    ],
)
def test_each_refusal_has_one_clear_error(kfp_server: KfpServer, status: int, message: str) -> None:
    kfp_server.fail(status, times=9)
    api = api_of(kfp_server, credentials=Credentials(token=SECRET), attempts=3)
    with pytest.raises(ClusterError, match=message) as caught:
        cluster.get_run(api, "x")
    assert SECRET not in str(caught.value)


def test_a_dead_host_a_slow_one_and_one_that_hangs_up(kfp_server: KfpServer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(ClusterError, match=r"cannot reach .*refused.*Check --host"):
            check_server(Api(url, Credentials()))
        assert time.monotonic() - start < 1  # nobody listening is not asked again
    kfp_server.fail(200, times=2, delay=0.6)
    with pytest.raises(ClusterError, match="cannot reach .*: no answer in time"):
        check_server(api_of(kfp_server, timeout=0.2, attempts=2))
    kfp_server.fail(0, times=1)
    assert check_server(api_of(kfp_server)).version == "2.17.0"


def test_what_may_pass_is_tried_again_and_then_works(kfp_server: KfpServer) -> None:
    for status in (429, 500, 502, 503, 504, 0):
        kfp_server.fail(status)
    with pytest.raises(ClusterError, match="HTTP 504"):
        check_server(api_of(kfp_server))
    assert check_server(api_of(kfp_server)).multi_user is False


@pytest.mark.parametrize("status", [503, 0])
@pytest.mark.parametrize("afterwards", [True, False])
def test_things_are_made_exactly_once_whatever_is_lost(
    kfp_server: KfpServer, status: int, afterwards: bool
) -> None:
    api = api_of(kfp_server)
    kfp_server.fail(status, times=2, match="POST .*/experiments", afterwards=afterwards)
    made = cluster.ensure_experiment(api, "mine", "")
    assert cluster.ensure_experiment(api, "mine", "") == made
    names = [e["display_name"] for e in kfp_server.experiments.items.values()]
    assert names == ["Default", "mine"]


def test_lists_are_read_over_all_pages_and_names_with_signs_are_found(
    kfp_server: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "PAGE_SIZE", 3)
    api = api_of(kfp_server)
    names = ["a+b %41", "ä & ö", *map(str, range(8))]
    made = [cluster.ensure_experiment(api, name, "") for name in names]
    assert [cluster.ensure_experiment(api, name, "") for name in names] == made
    there = cluster.pages(api, "/experiments", "experiments")
    assert [e["display_name"] for e in there] == ["Default", *names]
    assert cluster.find(api, "/experiments", "experiments", "DEFAULT") is None


def test_servers_that_are_too_old_or_none_are_told_apart(kfp_server: KfpServer) -> None:
    kfp_server.tag = None
    with pytest.raises(ClusterError, match=r"runs Kubeflow Pipelines 1.8.5: expected 2.0 or newer"):
        check_server(api_of(kfp_server))
    kfp_server.fail(404, times=2)
    with pytest.raises(ClusterError, match="is no Kubeflow Pipelines server"):
        check_server(api_of(kfp_server))
    for tag in ("unknown", "2.5.0", "master"):
        kfp_server.tag = tag
        check_server(api_of(kfp_server))


def test_the_user_interface_tells_of_the_server_behind_it(kfp_server: KfpServer) -> None:
    kfp_server.through_ui = True
    server = check_server(api_of(kfp_server))
    assert (server.version, server.multi_user) == ("2.17.0", False)
    kfp_server.tag = "1.8.5"
    with pytest.raises(ClusterError, match=r"runs Kubeflow Pipelines 1.8.5: expected 2.0 or newer"):
        check_server(api_of(kfp_server))
    kfp_server.ready = False
    with pytest.raises(
        ClusterError, match="cannot reach .*the API server behind it does not"
    ) as it:
        check_server(api_of(kfp_server))
    assert it.value.status == 503


def upload(server: KfpServer) -> None:
    api = api_of(server)
    identity = cluster.ensure_pipeline(api, "mine", "")
    cluster.ensure_version(api, identity, "v1", b"no package")


def test_who_may_not_upload_is_told_of_the_role_whatever_the_status(
    kfp_server: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClusterError, match="refused POST .*: HTTP 400") as caught:
        upload(kfp_server)  # which is allowed, but no package
    assert (caught.value.status, "role" in str(caught.value)) == (400, False)
    kfp_server.pipelines.may_upload = False
    for denial in (uploads.DENIED, uploads.DENIED_NEWER):
        monkeypatch.setattr(uploads, "DENIED", denial)
        with pytest.raises(ClusterError, match="HTTP 400 .*role kubeflow-edit") as caught:
            upload(kfp_server)
        assert caught.value.status == 403


def test_a_namespace_that_is_denied_is_said(kfp_server: KfpServer) -> None:
    kfp_server.denied = {"theirs"}
    with pytest.raises(ClusterError, match=r"not authorized to access namespace theirs"):
        cluster.ensure_experiment(api_of(kfp_server), "mine", "theirs")


def test_a_kubeflow_of_several_users_wants_a_namespace(
    kfp_server: KfpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api = api_of(kfp_server)
    assert in_namespace(Context(namespace="x"), check_server(api)).namespace is None
    kfp_server.multi_user = True
    server = check_server(api)
    with pytest.raises(ConfigError, match="several users: expected --namespace NAME"):
        in_namespace(Context(), server)
    with pytest.raises(ClusterError, match="cannot have an empty namespace in multi-user mode"):
        cluster.ensure_experiment(api, "mine", "")
    (tmp_path / "namespace").write_text("team-a")
    monkeypatch.setattr("aegan_pipelines.connection.POD_NAMESPACE", str(tmp_path / "namespace"))
    context = in_namespace(Context(), server)
    assert context.namespace == "team-a"
    assert cluster.ensure_experiment(api, "mine", "team-a")
    assert list(cluster.pages(api, "/runs", "runs", namespace="team-a")) == []
