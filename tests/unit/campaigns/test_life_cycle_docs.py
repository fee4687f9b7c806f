"""The drawn life cycle is the one in the code."""

import re

from campaign_pipeline.campaigns.life_cycle import TRANSITIONS
from campaign_pipeline.core.paths import PROJECT_DIR


def test_the_diagram_draws_every_transition_and_no_other() -> None:
    first_diagram = (PROJECT_DIR / "docs" / "life-cycles.md").read_text().split("```")[1]
    drawn = set(re.findall(r"^\s+(\w+) --> (\w+)", first_diagram, re.MULTILINE))
    assert drawn == {(one.value, other.value) for one, others in TRANSITIONS.items() for other in others}
