"""An installation with a database, and a folder of definitions that is good as it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign_pipeline.core.settings import Settings
from campaign_pipeline.operations.installation import Installation
from tests.databases import initialised

DEFINITIONS = {
    "segments/buyers.yaml": "segment: buyers\nwhere: {did: {event: purchase}}\n",
    "segments/loyal.yaml": "segment: loyal\nwhere:\n  all:\n    - segment: buyers\n",
    "templates/plain.yaml": "template: plain\nchannel: email\nsubject: Hello\nhtml_file: plain.html\ntext: Hi\n",
    "templates/plain.html": '<p>Hi</p><a href="{{ unsubscribe_url }}">out</a>',
    "templates/short.yaml": "template: short\nchannel: sms\nbody: Hi\n",
    "campaigns/spring-sale.yaml": (
        "campaign: spring-sale\nchannel: email\nsegment: buyers\nvariants:\n"
        "  - {name: plain, weight: 1, template: plain}\n"
    ),
    "campaigns/reminder.yml": (
        "campaign: reminder\nchannel: sms\nsegment: loyal\nschedule: now\nvariants:\n"
        "  - {name: short, weight: 1, template: short}\n"
    ),
}


@pytest.fixture
def installation(settings: Settings) -> Iterator[Installation]:
    installation = initialised(settings)
    yield installation
    installation.engine.dispose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of definitions: two segments, two templates, two campaigns."""
    folder = tmp_path / "definitions"
    for name, text in DEFINITIONS.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder
