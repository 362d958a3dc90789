"""The files that nvidia-imex reads."""

import pytest

from nvdra.api import names
from nvdra.domains.imex_daemon.config import ImexSettings, imex_config, knows_names, nodes_file, nodes_file_of_addresses
from nvdra.errors import ConfigError, Refused


def _values(text: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.decode().splitlines())


def test_config_has_the_reference_drivers_values():
    """Every key of the Go driver's file is there with its value, and the command service is bound to the pod."""
    values = _values(imex_config(ImexSettings("10.1.2.3")))

    wanted = {
        "LOG_LEVEL": "4", "LOG_FILE_NAME": "", "STATS_FILE_NAME": "/var/log/nvidia-imex-stats.log", "DAEMONIZE": "0",
        "BIND_INTERFACE_IP": "", "SERVER_PORT": "50000", "IMEX_NODE_CONFIG_FILE": "/imexd/nodes.cfg",
        "IMEX_WAIT_FOR_QUORUM": "RECOVERY", "IMEX_ENABLE_AUTH_ENCRYPTION": "0", "IMEX_GSS_TIMEOUT_SEC": "30",
        "IMEX_CMD_ENABLED": "1", "IMEX_CMD_BIND_INTERFACE_IP": "10.1.2.3", "IMEX_CMD_PORT": "50005",
        "IMEX_NODE_DISCONNECTED_GRACE_TIME": "-1",
    }  # fmt: skip
    assert wanted == {key: values[key] for key in wanted}


def test_config_takes_ipv6():
    """An IPv6 pod address is bound as it is."""
    assert _values(imex_config(ImexSettings("fd00::7")))["IMEX_CMD_BIND_INTERFACE_IP"] == "fd00::7"


def test_extra_settings_replace_values():
    """A user's setting goes before the fixed value, also one that only newer versions know."""
    extra = {"IMEX_NODE_DISCONNECTED_GRACE_TIME": "60", "IMEX_AUTH_SOURCE": "FILE"}
    values = _values(imex_config(ImexSettings("10.1.2.3", extra=extra)))
    assert (values["IMEX_NODE_DISCONNECTED_GRACE_TIME"], values["IMEX_AUTH_SOURCE"]) == ("60", "FILE")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (ImexSettings("node-a"), "node-a"),
        (ImexSettings("10.0.0.1", extra={"SERVER_PORT": "1"}), "SERVER_PORT"),
        (ImexSettings("10.0.0.1", extra={"LOGLEVEL": "1"}), "LOGLEVEL"),
        (ImexSettings("10.0.0.1", extra={"LOG_LEVEL": "4\nDAEMONIZE=1"}), "LOG_LEVEL"),
    ],
)
def test_unusable_settings_are_named(settings, named):
    """A setting that cannot be used is an error that names it."""
    with pytest.raises(ConfigError, match=named):
        imex_config(settings)


def test_nodes_file_is_one_name_a_line_and_the_same_for_all():
    """The line number is the index."""
    hosts = [names.daemon_host_name("uid", "c.1", index) for index in range(18)]
    assert nodes_file(hosts).decode().split("\n") == [*hosts, ""]


def test_old_drivers_get_fixed_addresses_when_all_are_known():
    """A driver without names gets N addresses in the order of the indices."""
    assert nodes_file_of_addresses({1: "10.0.0.2", 0: "fd00::1"}, 2) == b"fd00::1\n10.0.0.2\n"


@pytest.mark.parametrize(
    ("addresses", "wanted", "words"),
    [({0: "10.0.0.1"}, 3, "all 3 addresses.*index 1, 2"), ({0: "10.0.0.1"}, 0, "set numNodes")],
)
def test_old_drivers_are_refused_before_that(addresses, wanted, words):
    """A list that would have to grow later is refused, and the way out is said."""
    with pytest.raises(Refused, match=words):
        nodes_file_of_addresses(addresses, wanted)


@pytest.mark.parametrize(
    ("version", "knows"),
    [("570.158.01", True), ("570.124.06", False), ("580.95.05", True), ("565.57", False), ("595", True), ("", True)],
)
def test_names_need_570_158_01(version, knows):
    """The version that brought names is known; an unreadable version is taken for a new one."""
    assert knows_names(version) is knows
