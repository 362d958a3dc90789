"""What the roles grant, held against what our processes asked of the API server while all of these tests ran."""

import pytest
from attrs import evolve

from tests.chart.roles import Asked, Rule, rules
from tests.cluster import audit, installation, selection
from tests.cluster.bed.cluster import Cluster
from tests.cluster.view import User

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("driver"), pytest.mark.runs_last(2)]


def test_nothing_was_refused(bed: Cluster) -> None:
    """No request of ours was answered with 403."""
    assert audit.used(bed)
    assert audit.refused(bed) == []


def test_every_grant_was_used_or_says_when(bed: Cluster, user: User, request: pytest.FixtureRequest) -> None:
    """Every verb of every rule was used in this run, or a comment beside the rule ("# rarely: …") says when it is."""
    granted, asked = rules(installation.rendered(user)), audit.used(bed)
    assert [rule for rule in granted if "*" in (*rule.groups, *rule.resources, *rule.verbs)] == []
    silent = [one for rule in granted if not rule.rarely for one in unused(rule, asked)]
    rare = [one for rule in granted if rule.rarely for one in unused(rule, asked)]
    selection.say(
        request.config, f"granted, not used in this run, and a comment says when: {'; '.join(rare) or 'nothing'}"
    )
    if why := selection.partial(request.session):
        selection.say(request.config, f"granted, not used, and no comment: {'; '.join(silent) or 'nothing'}; not held against "
                      f"the chart, for this was a part of the tests: {why}")  # fmt: skip
        return
    assert silent == []


def unused(rule: Rule, asked: set[Asked]) -> list[str]:
    """The rule's grants that nobody used, as sentences."""
    return [
        f"{rule.account.rpartition('-')[2]} may {verb} {resource}"
        for resource in rule.resources
        for verb in rule.verbs
        if not any(evolve(rule, verbs=(verb,), resources=(resource,)).allows(one) for one in asked)
    ]
