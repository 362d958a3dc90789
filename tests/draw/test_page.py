"""Pages: everything about one statechart on one page of the documentation."""

from nvdra.core.statechart import Statechart
from nvdra.draw.mermaid import diagram
from nvdra.draw.page import announcements, page


def test_a_page_has_every_part(ferry: Statechart):
    """Purpose, facts, picture, states, orders with what is inherited, announcements."""
    text = page(ferry, "../../statecharts/ferry.yaml")

    assert text.startswith("# ferry\n\n<!-- made by `make docs` from ../../statecharts/ferry.yaml; edit that -->\n")
    assert "The file: [ferry.yaml](../../statecharts/ferry.yaml).\n" in text
    assert "| fact | it holds when |\n| --- | --- |\n| `loaded` | The cars are on board. |\n" in text
    assert f"```mermaid\n{diagram(ferry)}```\n" in text
    assert "- **Waiting**: Cars come on board. Keep ramp present;" in text
    assert "\n  - **Leaving**: After 90s announce LateStart;" in text
    assert "| `Crossing.Arriving` | flag |  | Sailing |\n" in text
    assert "| `Arrived` | on entering Crossing.Arriving | The far shore is reached. |\n" in text


def test_a_page_without_announcements_has_no_such_part(small: Statechart):
    """Nothing is announced, nothing is said about it."""
    assert "## Announcements" not in page(small, "small.yaml")


def test_a_bar_does_not_break_a_table(ferry: Statechart):
    """Tables are Markdown's."""
    assert "| `sunk` | The ferry is gone (lost&#124;sunk). |\n" in page(ferry, "x.yaml")


def test_announcements_name_reason_time_and_meaning(ferry: Statechart):
    """Both kinds: on entering a state, and on staying there too long."""
    assert list(announcements(ferry)) == [
        ("LateStart", "still in Crossing.Leaving after 90s", "it waits, and the text says for what"),
        ("SlowStart", "still in Crossing.Leaving after 5m", "it waits, and the text says for what"),
        ("Stuck", "still in Crossing.Leaving after 2h", "it waits, and the text says for what"),
        ("Arrived", "on entering Crossing.Arriving", "The far shore is reached."),
    ]
