"""The statecharts that are shipped: laws, sentences, and a restart at every step."""

import pytest

from nvdra import loader
from nvdra.apps.statecharts import shipped
from nvdra.core.laws import check, worlds
from nvdra.core.machine import Interpreter
from nvdra.core.table import compile_table
from nvdra.domains.channel_claim import facts as channel_claim
from nvdra.domains.compute_domain import facts as compute_domain
from nvdra.domains.daemon_claim import facts as daemon_claim
from nvdra.domains.imex_domain import facts as imex_domain

FILES = sorted(shipped().glob("*.yaml"))
DOMAINS = {
    "channel-claim": channel_claim.FACTS,
    "compute-domain": compute_domain.FACTS,
    "daemon-claim": daemon_claim.FACTS,
    "imex-domain": imex_domain.FACTS,
}
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def test_they_are_found():
    """All of them are shipped, and every domain of ours has one."""
    assert {file.stem for file in FILES} >= set(DOMAINS)


@every_file
def test_keeps_the_laws(file):
    """Every law, over every set of facts."""
    loaded = loader.load(file)
    assert [loaded.said(fault) for fault in check(compile_table(loaded.statechart))] == []


@every_file
def test_a_restart_at_any_step_changes_nothing(file):
    """Whoever forgets where he is, and settles from the beginning, ends where he would have ended."""
    interpreter = Interpreter(compile_table(loader.load(file).statechart))
    for facts in worlds(interpreter.table.statechart.facts):
        home = interpreter.settle(None, facts).leaf
        here = interpreter.table.initial
        for edge in interpreter.settle(None, facts).path:
            here = edge.target
            assert interpreter.settle(here, facts).leaf is home
        assert interpreter.settle(home.name, facts).path == ()


@pytest.mark.parametrize("name", sorted(DOMAINS))
def test_facts_mean_the_same_in_both_languages(name):
    """The docstring of a fact's function is the sentence in the YAML."""
    declared = loader.load(shipped() / f"{name}.yaml").statechart.facts
    assert {fact.name: fact.sentence for fact in DOMAINS[name].by_name.values()} == declared


@every_file
def test_every_state_that_is_seen_says_what_it_is(file):
    """A leaf that one can wait in has an `about`, for announcements and `explain`."""
    leaves = compile_table(loader.load(file).statechart).leaves.values()
    silent = [leaf.name for leaf in leaves if leaf.announce or leaf.after if not leaf.about]
    assert silent == []
