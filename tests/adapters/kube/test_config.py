import asyncio
import base64
import contextlib
import ssl
import subprocess
import sys

import pytest
import yaml

from nvdra.adapters.kube import config
from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.credentials import FixedHeader, Pem, RenewedHeader, token_file
from nvdra.api.kinds import NODES
from nvdra.errors import Again, ConfigError


@pytest.fixture(scope="module")
def pems(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pems")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=x", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def kubeconfig(tmp_path):
    def write(cluster=None, user=None, **changes):
        document = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "ns"}}],
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:8001/prefix/"} | (cluster or {})}],
            "users": [{"name": "u", "user": user or {}}],
        } | changes
        (tmp_path / "config").write_text(yaml.safe_dump(document))
        return str(tmp_path / "config")

    return write


async def test_in_cluster(tmp_path, pems):
    """A pod finds address, authority, namespace, and a token that is read again after a minute or a refusal."""
    (tmp_path / "ca.crt").write_bytes((pems / "cert.pem").read_bytes())
    (tmp_path / "namespace").write_text("nvidia\n")
    (tmp_path / "token").write_text("one\n")
    now = [0.0]
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    access = config.load(environ=environ, service_account=tmp_path, clock=lambda: now[0])
    headers = [await access.credentials.header()]
    (tmp_path / "token").write_text("two\n")
    headers.append(await access.credentials.header())
    now[0] = 60.0
    headers.append(await access.credentials.header())
    (tmp_path / "token").write_text("three\n")
    headers.append(await access.credentials.header(fresh=True))
    (tmp_path / "token").unlink()
    headers.append(await access.credentials.header(fresh=True))

    assert (access.endpoint.url, access.namespace) == ("https://[fd00::1]:6443", "nvidia")
    assert access.endpoint.tls.verify_mode is ssl.CERT_REQUIRED
    assert len(access.endpoint.tls.get_ca_certs()) == 1
    assert headers == ["Bearer one", "Bearer one", "Bearer two", "Bearer three", "Bearer three"]


async def test_a_cluster_may_replace_its_authority(tmp_path):
    """When the API server's certificate is by a new authority, the pod's file is read anew; an older one ends there."""

    def new_server(name):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", "/CN=kubernetes", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / name)],
            check=True, capture_output=True,
        )  # fmt: skip
        shown.load_cert_chain(tmp_path / name, tmp_path / "key.pem")

    async def talk(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            body = b'{"metadata": {"name": "n"}}'
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
        writer.close()

    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    new_server("ca.crt")
    (tmp_path / "token").write_text("one\n")
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=shown)
    port = server.sockets[0].getsockname()[1]
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
    client = KubeClient(config.load(environ=environ, service_account=tmp_path), "test")
    try:
        assert (await client.get(NODES, "n")).metadata.name == "n"
        new_server("next.crt")
        with pytest.raises(Again, match="not trusted"):
            await client.get(NODES, "n")
        (tmp_path / "next.crt").rename(tmp_path / "ca.crt")
        with pytest.raises(Again, match="not trusted"):
            await client.get(NODES, "n")
        assert (await client.get(NODES, "n")).metadata.name == "n"
        (tmp_path / "ca.crt").unlink()
        new_server("another.crt")
        for _ in range(2):
            with pytest.raises(Again, match="not trusted"):
                await client.get(NODES, "n")
    finally:
        await client.close()
        server.close()


def test_secrets_are_not_shown():
    """Neither token nor key is in what a traceback or a log prints of an access."""
    shown = repr((FixedHeader("Bearer secret"), Pem(b"secret", "somewhere"), RenewedHeader(str)))
    assert "secret" not in shown


async def test_an_empty_token_is_named(tmp_path):
    """The first token must be there."""
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigError, match=r"token file .*/token: it is empty"):
        await token_file(tmp_path / "token").header()


def test_nothing_configured(tmp_path):
    """Neither pod nor file: the text lists what was looked for."""
    with pytest.raises(ConfigError, match=r"not in a cluster .* no --kubeconfig, no KUBECONFIG and no .*/.kube/config"):
        config.load(environ={"HOME": str(tmp_path)})


async def test_a_plain_kubeconfig(kubeconfig):
    """Server with a prefix, token, namespace; the flag outranks the environment."""
    path = kubeconfig(user={"token": "t"})
    access = config.load(path, environ={"KUBECONFIG": "/nowhere"})
    assert (access.endpoint.url, access.namespace) == ("http://127.0.0.1:8001/prefix", "ns")
    assert await access.credentials.header() == "Bearer t"
    assert access.endpoint.tls is None


async def test_a_token_file_beside_the_kubeconfig(kubeconfig, tmp_path):
    """A relative path is relative to the kubeconfig."""
    (tmp_path / "tok").write_text("t")
    assert await config.load(kubeconfig(user={"tokenFile": "tok"}), environ={}).credentials.header() == "Bearer t"


def test_certificates_as_files_and_as_data(kubeconfig, pems):
    """Authority and client certificate are taken from both; insecure turns the checks off."""
    data = {name: base64.b64encode((pems / f"{name}.pem").read_bytes()).decode() for name in ("cert", "key")}
    inline = kubeconfig(
        {"server": "https://api", "certificate-authority-data": data["cert"], "tls-server-name": "kubernetes"},
        {"client-certificate-data": data["cert"], "client-key-data": data["key"]},
    )
    access = config.load(inline, environ={})
    assert ("https://api:443", "kubernetes", FixedHeader()) == (
        access.endpoint.url,
        access.endpoint.server_name,
        access.credentials,
    )
    assert len(access.endpoint.tls.get_ca_certs()) == 1
    files = kubeconfig(
        {"server": "https://api", "insecure-skip-tls-verify": True},
        {"client-certificate": str(pems / "cert.pem"), "client-key": str(pems / "key.pem")},
    )
    assert config.load(files, environ={}).endpoint.tls.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(
    ("cluster", "user", "changes", "words"),
    [
        ({}, {}, {"current-context": ""}, "it has no current-context"),
        ({}, {}, {"current-context": "there"}, "no context is named 'there'; there are: here"),
        ({}, {}, {"clusters": None}, "no cluster is named 'c'; there are: none"),
        ({"server": ""}, {}, {}, "context 'here': its cluster has no server"),
        ({"server": "ftp://x"}, {}, {}, "server 'ftp://x' is no http"),
        ({"server": "https://x:port"}, {}, {}, "is no URL"),
        ({"proxy-url": "http://p"}, {}, {}, "proxy-url is not supported"),
        ({"server": "https://x", "certificate-authority": "missing.pem"}, {}, {}, r"certificate-authority .*/missing.pem: cannot be read: No such file"),
        ({"server": "https://x", "certificate-authority-data": "!!"}, {}, {}, "certificate-authority-data is not base64"),
        ({"server": "https://x", "certificate-authority-data": "eHg="}, {}, {}, "no certificate authority in PEM"),
        ({"server": "https://x"}, {"client-certificate-data": "eHg="}, {}, "must come together"),
        ({"server": "https://x"}, {"client-certificate-data": "eHg=", "client-key-data": "eHg="}, {}, "no usable client certificate"),
        ({}, {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/no/such/program", "interactiveMode": "Never"}}, {}, r"kubeconfig .*/config, context 'here', user 'u': exec is read by the Python package kubernetes, which"),
    ],
)  # fmt: skip
def test_faults_name_file_context_and_user(kubeconfig, cluster, user, changes, words):
    """Each fault says where it is and what is wrong."""
    with pytest.raises(ConfigError, match=words):
        config.load(kubeconfig(cluster, user, **changes), environ={})


@pytest.mark.parametrize("text", ["[]", "a: [", ""])
def test_no_kubeconfig_at_all(tmp_path, text):
    """A file that is no kubeconfig, or not there, is named."""
    (tmp_path / "config").write_text(text)
    for path in (tmp_path / "config", tmp_path / "absent"):
        with pytest.raises(ConfigError, match=f"kubeconfig {path}: "):
            config.load(str(path), environ={})


async def test_a_program_that_logs_in(kubeconfig, tmp_path):
    """An exec user goes through the official client and gives its token."""
    program = tmp_path / "login"
    program.write_text(
        f"#!{sys.executable}\nimport json\nprint(json.dumps({{'apiVersion': 'client.authentication.k8s.io/v1', "
        "'kind': 'ExecCredential', 'status': {'token': 'from-a-program'}}))\n"
    )
    program.chmod(0o755)
    user = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "interactiveMode": "Never"}
    }
    access = config.load(kubeconfig(user=user), environ={})
    assert await access.credentials.header() == "Bearer from-a-program"
