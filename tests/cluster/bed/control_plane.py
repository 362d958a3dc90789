"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler: their files and their flags."""

import base64
import json
import secrets
import subprocess

from .layout import API_SERVICE, BRIDGE_ADDRESS, SERVICE_NETWORK, TOKENS, Layout

AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "None", "users": ["admin", "system:apiserver"]}, {"level": "Metadata"}],
}
"""Who did what, and was it allowed: the tests read it. Not what people at the keyboard do."""


def files(layout: Layout) -> None:
    """Tokens, keys and the audit policy; kubeconfigs come when the server has made its certificate."""
    certificates = layout.root / "certs"
    certificates.mkdir(parents=True, exist_ok=True)
    key = certificates / "service-accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    subprocess.run(
        ["openssl", "rsa", "-in", str(key), "-pubout", "-out", f"{key}.pub"], check=True, capture_output=True
    )
    (layout.root / "audit-policy.json").write_text(json.dumps(AUDIT))
    who = {**TOKENS, **{node.name: (f"system:node:{node.name}", "system:nodes") for node in layout.all_nodes}}
    tokens = {name: secrets.token_hex(16) for name in who}
    lines = [f'{tokens[name]},{user},{user},"{groups}"' for name, (user, groups) in who.items()]
    (layout.root / "tokens.csv").write_text("\n".join(lines) + "\n")
    (layout.root / "tokens.json").write_text(json.dumps(tokens))


def kubeconfigs(layout: Layout) -> None:
    """One for each who has a token."""
    authority = base64.b64encode((layout.root / "certs/apiserver.crt").read_bytes()).decode()
    folder = layout.kubeconfig.parent
    folder.mkdir(exist_ok=True)
    for name, token in json.loads((layout.root / "tokens.json").read_text()).items():
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "bed",
            "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": name}}],
            "clusters": [
                {
                    "name": "bed",
                    "cluster": {"server": f"https://{API_SERVICE}", "certificate-authority-data": authority},
                }
            ],
            "users": [{"name": name, "user": {"token": token}}],
        }
        (folder / name).write_text(json.dumps(config))


def feature_gates(layout: Layout) -> list[str]:
    """The flag, where the release needs one."""
    return [f"--feature-gates={','.join(layout.release.feature_gates)}"] if layout.release.feature_gates else []


def etcd(layout: Layout) -> list[str]:
    """Without fsync: nothing in it is to last."""
    return [
        layout.binaries("etcd"),
        f"--data-dir={layout.root}/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server(layout: Layout) -> list[str]:
    """With every version of resource.k8s.io that the release has, and an audit log."""
    key = f"{layout.root}/certs/service-accounts.key"
    versions = "resource.k8s.io/v1beta1=true,resource.k8s.io/v1beta2=true"
    return [
        layout.binaries("kube-apiserver"),
        "--etcd-servers=http://127.0.0.1:2379",
        "--secure-port=443",
        f"--advertise-address={BRIDGE_ADDRESS}",
        f"--cert-dir={layout.root}/certs",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--token-auth-file={layout.root}/tokens.csv",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}.pub",
        f"--service-account-signing-key-file={key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--runtime-config={versions}",
        f"--audit-policy-file={layout.root}/audit-policy.json",
        f"--audit-log-path={layout.audit}",
        "--audit-log-maxsize=500",
        *feature_gates(layout),
    ]


def controller_manager(layout: Layout) -> list[str]:
    """Every controller with its own service account, as on a real cluster."""
    kubeconfig = layout.kubeconfig_of("kube-controller-manager")
    return [
        layout.binaries("kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={layout.root}/certs/service-accounts.key",
        f"--root-ca-file={layout.root}/certs/apiserver.crt",
        f"--cert-dir={layout.root}/certs/controllers",
        *feature_gates(layout),
    ]


def scheduler(layout: Layout) -> list[str]:
    """As it comes."""
    kubeconfig = layout.kubeconfig_of("kube-scheduler")
    return [
        layout.binaries("kube-scheduler"),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        f"--cert-dir={layout.root}/certs/scheduler",
        *feature_gates(layout),
    ]
