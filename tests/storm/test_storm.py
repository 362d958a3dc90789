"""Storms: a short run of seeds at every change of the code, and that a seed is a seed."""

import os
import subprocess
import sys

import pytest

from nvdra.sim.storm.shrink import scripted
from nvdra.sim.storm.storm import Plan, play

SEEDS = range(1, 11)
STEPS = 800


@pytest.mark.parametrize("seed", SEEDS)
def test_the_driver_survives(storm, seed):
    """Nothing that must never be is seen, everything converges, and nothing is left."""
    outcome = storm(seed, STEPS)
    assert outcome.broken == ""
    assert outcome.steps >= STEPS


def test_one_seed_is_one_story(storm):
    """The same seed gives the same trace, and what was told can be told again word by word."""
    outcome = storm(3, STEPS)
    assert play(Plan(3, STEPS)).fingerprint == outcome.fingerprint
    again = play(scripted(outcome))
    assert again.trace.lines == outcome.trace.lines
    assert storm(4, STEPS).fingerprint != outcome.fingerprint


def test_no_order_of_sets_is_in_it(storm):
    """In another process, with other hashes of strings, the traces are the same."""
    seeds = (1, 3, 4, 8)
    program = f"from nvdra.sim.storm.storm import *; print([play(Plan(s, 400)).fingerprint for s in {seeds}])"
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert ran.stdout.strip() == str([storm(seed, 400).fingerprint for seed in seeds]), ran.stderr


def test_storms_do_something(storm):
    """In these seeds every kind of fault happens, workers start, and each statechart is walked."""
    lines = [line for seed in SEEDS for line in storm(seed, STEPS).trace.lines]
    faults = {line.text.partition(":")[0] for line in lines if line.kind == "fault"}
    assert faults >= {"lost", "unanswered", "slow", "busy", "die-before", "die-after", "lag", "broken", "stale"}
    assert sum("starts with /dev" in line.text for line in lines) >= 10
    entered = {line.text.partition(" → ")[2].split()[0] for line in lines if line.kind == "step"}
    wanted = {"Serving.Ready", "Terminating.Gone", "Open.Up", "Closed.Gone", "Holding.Prepared", "Running.Ready"}
    assert entered >= {*wanted, "Releasing.Forgetting", "Stopping.Stopped", "Serving.Degraded"}
