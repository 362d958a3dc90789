"""The runtime's parts by themselves: ls, the small shell, CDI, environments, mpirun's arguments."""

import asyncio
import json
import os
import re
import signal
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvdra.sim.kube.runtime import cdi, devnode, rootfs
from nvdra.sim.kube.runtime.environment import ConfigMissingError, Surroundings, environment, expand
from nvdra.sim.kube.runtime.listing import ls, stand_ins
from nvdra.sim.kube.runtime.mpirun import MpirunError, hosts_of, order_of, ranks_of
from nvdra.sim.kube.runtime.running import Interpreted
from nvdra.sim.kube.runtime.shell import Shell
from nvdra.sim.kube.runtime.words import NotUnderstoodError, filled, parse


def _gnu(path, flags, cwd=None):
    environ = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        ["ls", flags, str(path)], env=environ, capture_output=True, text=True, check=True, cwd=cwd
    ).stdout.splitlines()


@pytest.fixture
def folder(tmp_path):
    """A folder with a bit of everything, and devices where the kernel allows them."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "big").write_bytes(b"x" * 123_456)
    (tmp_path / ".hidden").write_text("h")
    (tmp_path / "link").symlink_to("big")
    old = tmp_path / "old"
    old.write_text("")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    os.link(old, tmp_path / "again")
    for name, minor in (("channel0", 0), ("channel12", 12)):
        devnode.make(tmp_path / name, devnode.CharDevice(507, minor), 0o666)
    return tmp_path


@pytest.mark.parametrize("flags", ["-la", "-l", "-a", "-1"])
def test_ls_prints_what_gnu_ls_prints(folder, flags):
    """Every line equals that of the real program on the same folder."""
    lines = ls(folder, str(folder), hidden="a" in flags, long="l" in flags)
    assert lines == _gnu(folder, flags)


def test_ls_of_devices_only_prints_as_the_guide_does(tmp_path):
    """Where mknod is allowed, a channel is shown as in the user guide, with "total 0"."""
    made = devnode.make(tmp_path / "channel0", devnode.CharDevice(507, 0), 0o666)
    if made.stands_in:
        pytest.skip("mknod is refused here; the stand-in has a test of its own")
    lines = ls(tmp_path, str(tmp_path), hidden=True, long=True)
    assert lines[0].startswith("total ")
    assert re.fullmatch(r"crw-rw-rw- +1 root root +507, 0 [A-Z][a-z]{2} [ \d]\d \d\d:\d\d channel0", lines[-1])
    assert lines == _gnu(tmp_path, "-la")


def test_a_stand_in_is_shown_as_what_it_is(tmp_path):
    """A marked plain file is listed as a file, and a last line says what it stands for."""
    (tmp_path / "channel0").write_text("nvdra stand-in for c 507 0\n")
    assert ls(tmp_path, str(tmp_path), hidden=False, long=True)[1].startswith("-rw")
    assert stand_ins(tmp_path) == ["(channel0 stands for c 507 0: this rack runs without root, where mknod is refused)"]
    assert devnode.look_at(tmp_path / "channel0") == devnode.CharDevice(507, 0, stands_in=True)


def _shell(script, root, env=None):
    said = []
    return said, Interpreted(Shell(script, env or {}, root, said.append).play)


async def test_the_guides_script_lists_and_then_waits_for_term(folder):
    """`ls -la DIR; trap 'exit 0' TERM; sleep 9999 & wait`: the listing is real, TERM ends it with 0."""
    said, running = _shell("ls -la /; trap 'exit 0' TERM; sleep 9999 & wait", folder)
    await asyncio.sleep(0)
    running.signal(signal.SIGTERM)
    assert await running.wait() == 0
    assert len(said) >= len(_gnu(folder, "-la"))


async def test_term_without_a_trap_is_ignored_by_process_one(tmp_path):
    """As in a real container: only SIGKILL ends a script that has no trap."""
    _, running = _shell("sleep 9999", tmp_path)
    await asyncio.sleep(0)
    running.signal(signal.SIGTERM)
    await asyncio.sleep(0)
    running.signal(signal.SIGKILL)
    assert await running.wait() == 137


@pytest.mark.parametrize(
    ("script", "code", "lines"),
    [
        ("true && echo yes; false && echo no; echo end", 0, ["yes", "end"]),
        ("false || echo saved", 0, ["saved"]),
        ("exit 7; echo never", 7, []),
        ("echo '$A' \"$A\" $A ${A}b", 0, ["$A 1 1 1b"]),
        ("ls /none", 2, ["ls: cannot access '/none': No such file or directory"]),
        ("cat /etc/greeting\necho two # a comment", 0, ["hi", "two"]),
        ("ls ../../../etc", 0, ["greeting"]),
    ],
)
async def test_small_scripts(tmp_path, script, code, lines):
    """Lists, variables, comments and exit codes are those of a shell; `..` does not lead out of the rootfs."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/greeting").write_text("hi\n")
    said, running = _shell(script, tmp_path, {"A": "1"})
    assert await running.wait() == code
    assert said == lines


@pytest.mark.parametrize(
    "script", ["a | b", "echo $(id)", "cat < x", "if true; then echo; fi", "echo `id`", "'open", "python x.py"]
)
def test_what_is_not_played_is_refused_before_anything_runs(tmp_path, script):
    """A script with anything unknown in it raises, wherever that is."""
    with pytest.raises(NotUnderstoodError):
        Shell(f"echo first; {script}", {}, tmp_path, lambda _: None)


@given(st.lists(st.text(alphabet="abc $;&|'\"\\{}\n#", max_size=8), min_size=1, max_size=5))
def test_quoted_words_come_through_unchanged(words):
    """Single-quoted words are taken as they are, whatever is in them."""
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
    steps = parse(f"echo {quoted}")
    assert [filled(word, {"a": "X"}) for word in steps[0].words][1:] == words


@given(st.text(alphabet="ab $;&|'\"\\{}()\n#<>", max_size=30))
def test_any_text_is_understood_or_refused(script):
    """The reader never fails in another way."""
    try:
        steps = parse(script)
        for step in steps:
            for word in step.words:
                filled(word, {})
    except NotUnderstoodError:
        pass


def _spec(folder, name, kind="v.io/c", devices=("d",), **edits):
    body = {"cdiVersion": "0.5.0", "kind": kind, "devices": [{"name": d, "containerEdits": edits} for d in devices]}
    (folder / name).write_text(json.dumps(body))
    return body


def test_cdi_merges_edits_of_all_files(tmp_path):
    """JSON and YAML, device edits and the file's own; the file's own once only; each id once."""
    body = _spec(tmp_path, "a.json", devices=("d", "e"), env=["A=1"])
    body["containerEdits"] = {"env": ["FILE=1"], "mounts": [{"hostPath": "/h", "containerPath": "/c"}]}
    (tmp_path / "a.json").write_text(json.dumps(body))
    (tmp_path / "b.yaml").write_text(
        "cdiVersion: 0.5.0\nkind: w.io/c\ndevices:\n- name: 1f\n  containerEdits:\n    deviceNodes: [{path: /dev/x, major: 1, minor: 2}]\n"
    )
    (tmp_path / "c.txt").write_text("not looked at")
    (tmp_path / "d.json").write_text('{"cdiVersion": "0.5.0", "kind": "x.io/c", "unknown": 1, "devices": []}')
    found = cdi.resolve([tmp_path], ["v.io/c=d", "v.io/c=e", "v.io/c=d", "w.io/c=1f"])
    assert found.env == ("A=1", "A=1", "FILE=1")
    assert found.device_nodes == ({"path": "/dev/x", "major": 1, "minor": 2},)
    assert found.mounts == ({"hostPath": "/h", "containerPath": "/c"},)


def test_cdi_conflicts_and_priorities(tmp_path):
    """A later folder wins; the same device twice in one folder is unusable; missing ones are all named."""
    low, high = tmp_path / "etc", tmp_path / "run"
    low.mkdir(), high.mkdir()
    _spec(low, "a.json", env=["FROM=low"])
    _spec(high, "a.json", env=["FROM=high"])
    assert cdi.resolve([low, high], ["v.io/c=d"]).env == ("FROM=high",)
    _spec(high, "b.json", env=["FROM=other"])
    with pytest.raises(cdi.UnresolvableDevicesError, match=r"unresolvable CDI devices v\.io/c=none, w\.io/c=x"):
        cdi.resolve([high], ["v.io/c=none", "w.io/c=x"])
    with pytest.raises(cdi.UnresolvableDevicesError):
        cdi.resolve([high], ["v.io/c=d"])


def test_cdi_edits_land_in_the_rootfs(tmp_path):
    """Mounts become links to the node's files, device nodes devices or marked files; what is missing is refused."""
    node, root = tmp_path / "node", tmp_path / "rootfs"
    (node / "opt").mkdir(parents=True)
    (node / "opt/lib").write_text("library")
    rootfs.prepare(root, "127.9.0.1", "pod", "pod.sub.default.svc.cluster.local")
    device = {"path": "/dev/nvidia-caps-imex-channels/channel3", "major": 507, "minor": 3, "fileMode": 0o666}
    mounts = ({"hostPath": "/opt/lib", "containerPath": "/usr/lib/lib"},)
    rootfs.inject(root, node, cdi.Injection(device_nodes=(device,), mounts=mounts))
    assert (root / "usr/lib/lib").read_text() == "library"
    made = devnode.look_at(root / "dev/nvidia-caps-imex-channels/channel3")
    assert (made.major, made.minor) == (507, 3)
    assert "127.9.0.1\tpod.sub.default.svc.cluster.local\tpod" in (root / "etc/hosts").read_text()
    with pytest.raises(rootfs.CannotCreateError, match="no such file"):
        rootfs.inject(root, node, cdi.Injection(mounts=({"hostPath": "/none", "containerPath": "/x"},)))
    with pytest.raises(rootfs.CannotCreateError, match="failed to stat CDI host device"):
        rootfs.inject(root, node, cdi.Injection(device_nodes=({"path": "/dev/none"},)))
    devnode.make(node / "dev/own", devnode.CharDevice(9, 8), 0o600)
    rootfs.inject(root, node, cdi.Injection(device_nodes=({"path": "/dev/own"},)))
    assert str(devnode.look_at(root / "dev/own")) == "c 9 8"


def test_environments_see_the_pod_and_each_other():
    """fieldRef, keyRefs and $(NAME); what is not there is named."""
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "b"}}, "spec": {"nodeName": "node"}}
    around = Surroundings(
        "127.1.0.1", "127.0.0.1", lambda kind, name, key: "v" if (kind, name, key) == ("configMap", "m", "k") else None
    )
    paths = {"N": "metadata.namespace", "IP": "status.podIP", "L": "metadata.labels['a']", "H": "spec.nodeName"}
    env = [{"name": k, "valueFrom": {"fieldRef": {"fieldPath": v}}} for k, v in paths.items()]
    env += [
        {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
        {"name": "X", "value": "$(N)-$(K)-$(NONE)-$$(N)"},
    ]
    assert environment(pod, {"env": env}, around) == {
        "N": "n",
        "IP": "127.1.0.1",
        "L": "b",
        "H": "node",
        "K": "v",
        "X": "n-v-$(NONE)-$(N)",
    }
    with pytest.raises(ConfigMissingError, match="couldn't find key z in secret s"):
        environment(pod, {"env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "z"}}}]}, around)
    with pytest.raises(ConfigMissingError, match=r"fieldPath spec\.nope"):
        environment(pod, {"env": [{"name": "S", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]}, around)
    assert expand("a$(B", {}) == "a$(B"


def test_mpirun_reads_the_guides_command_line():
    """Processes, processes per node, and the program; too few slots are refused."""
    argv = [
        "mpirun",
        "--bind-to",
        "core",
        "--map-by",
        "ppr:4:node",
        "-np",
        "8",
        "--report-bindings",
        "-q",
        "nvbandwidth",
        "-t",
        "x",
    ]
    order = order_of(argv)
    assert (order.processes, order.per_node, order.program) == (8, 4, ("nvbandwidth", "-t", "x"))
    hosts = hosts_of("w-0.j.default.svc slots=4\nw-1.j.default.svc slots=4\n")
    assert hosts == {"w-0.j.default.svc": 4, "w-1.j.default.svc": 4}
    assert [gpu for _, gpu in ranks_of(order, [("a", 4), ("b", 4)])] == [0, 1, 2, 3, 0, 1, 2, 3]
    with pytest.raises(MpirunError, match="8 processes asked for, 4 slots"):
        ranks_of(order, [("a", 4)])
