"""Segments name campaigns that are there, and may be written as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.errors import InvalidDefinition
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.segments import campaign_variants
from campaign_pipeline.segments.store import load_segments


def write(folder: Path, where: dict[str, Any], **more: Any) -> Path:
    file = folder / "segments" / "engaged.json"
    file.write_text(json.dumps({"segment": "engaged", "where": where, **more}, indent=1))
    return file


def test_a_json_file_is_applied_like_yaml(installation: Installation, folder: Path) -> None:
    write(folder, {"not": {"engaged": {"what": "sent", "campaign": "spring-sale", "variant": "plain"}}})
    changes = {each.name: each.change for each in apply_folder(installation, folder) if each.kind == "segment"}
    assert changes == {"buyers": "new", "engaged": "new", "loyal": "new"}
    with reading(installation.engine) as connection:
        assert set(load_segments(connection)) == {"buyers", "engaged", "loyal"}
        assert "plain" in campaign_variants(connection)["spring-sale"]


@pytest.mark.parametrize(
    ("leaf", "line", "problem"),
    [
        ({"campaign": "spring-sal"}, 8, "campaign 'spring-sal' does not exist; did you mean 'spring-sale'?"),
        ({"campaign": ["reminder", "winter"]}, 8, "campaign 'winter' does not exist"),
        ({"campaign": "spring-sale", "variant": "plane"}, 9, "variant 'plane' does not exist; did you mean 'plain'?"),
        ({"variant": "nobody"}, 8, "variant 'nobody' does not exist"),
    ],
)
def test_a_campaign_or_variant_that_does_not_exist_is_an_error(
    installation: Installation, folder: Path, leaf: dict[str, Any], line: int, problem: str
) -> None:
    write(folder, {"any": [{"engaged": {"what": "sent", **leaf}}]})
    with pytest.raises(InvalidDefinition) as raised:
        apply_folder(installation, folder)
    assert problem in raised.value.message
    assert f"where.any.0.engaged.{list(leaf)[-1]}: " in raised.value.message
    assert raised.value.line == line


def test_the_line_of_an_exclusion_is_found(installation: Installation, folder: Path) -> None:
    exclude = [{"engaged": {"what": "sent", "campaign": "winter"}}]
    write(folder, {"segment": "loyal"}, exclude=exclude)
    with pytest.raises(InvalidDefinition, match="campaign 'winter' does not exist") as raised:
        apply_folder(installation, folder)
    assert raised.value.line == 7


def test_one_name_in_yaml_and_json_is_an_error(installation: Installation, folder: Path) -> None:
    write(folder, {"segment": "loyal"}, segment="buyers")
    with pytest.raises(InvalidDefinition, match="'buyers' is already defined in"):
        apply_folder(installation, folder)
