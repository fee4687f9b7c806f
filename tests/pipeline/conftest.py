"""One rehearsal for all pipeline tests of a module: a small town of made-up people with the sample definitions."""

from collections.abc import Iterator

import pytest

from campaign_pipeline.core.paths import SAMPLE_DEFINITIONS_DIR
from campaign_pipeline.demo.town import take_in_people
from campaign_pipeline.operations.apply import apply_folder
from tests.rehearsal import Rehearsal, rehearsal

PEOPLE = 1_500


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    folder = tmp_path_factory.mktemp("town")
    with rehearsal(folder) as town:
        take_in_people(town.installation, folder / "people", PEOPLE)
        apply_folder(town.installation, SAMPLE_DEFINITIONS_DIR)
        yield town
