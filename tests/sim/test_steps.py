"""The demo's reader of the containers' logs."""

from nvdra.sim.steps import StepReader


def test_a_log_that_vanishes_between_two_looks_is_passed_over(tmp_path):
    """A pod may go while the reader is at work: the other logs are still read."""
    folder = tmp_path / "node-1/var/log/pods/default_p_uid"
    for container in ("gone", "here"):
        (folder / container).mkdir(parents=True)
    (folder / "gone/0.log").symlink_to(tmp_path / "nowhere")
    (folder / "here/0.log").write_text("12:00:00.000 I compute-domain default/cd: (first sight) → Admitting\n")
    assert [(step.kind, step.title, step.state) for step in StepReader(tmp_path).fresh()] == [
        ("compute-domain", "default/cd", "Admitting")
    ]
