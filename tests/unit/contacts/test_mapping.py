"""Which column means what."""

from pathlib import Path

import pytest

from campaign_pipeline.contacts.mapping import ContactMapping, EventMapping, mapping_from_pairs
from campaign_pipeline.contacts.values import ValueType
from campaign_pipeline.core.definitions import read_definition
from campaign_pipeline.core.errors import InvalidDefinition, InvalidInput
from campaign_pipeline.core.paths import PROJECT_DIR


def test_pairs_and_yaml_say_the_same(tmp_path: Path) -> None:
    pairs = ["id=Key", "email=Mail Address", "attributes.plan=Plan", "types.plan=integer", "consent.sms=granted"]
    file = tmp_path / "mapping.yaml"
    file.write_text(
        "id: Key\nemail: Mail Address\nattributes: {plan: Plan}\ntypes: {plan: integer}\nconsent: {sms: granted}\n"
    )
    mapping = mapping_from_pairs(pairs, ContactMapping)
    assert mapping == read_definition(file, ContactMapping)
    assert mapping.types == {"plan": ValueType.INTEGER}
    assert mapping.attribute_columns(["Key", "Mail Address", "Plan"]) == {"plan": "Plan"}


def test_the_rest_is_what_is_mapped_to_nothing_else() -> None:
    mapping = mapping_from_pairs(["id=Key", "consent.email=Opt In", "attributes=rest"], ContactMapping)
    assert mapping.attribute_columns(["Key", "Opt In", "Plan B", "x"]) == {"plan_b": "Plan B", "x": "x"}


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["email=E"], "the key is 'id', but no column is mapped to it"),
        (["id=A", "id=B"], "given twice"),
        (["id"], "is not field=column"),
        (["id=A", "mail=B"], "mail: Extra inputs"),
        (["id=A", "attributes.Plan=B"], "attribute name 'Plan'"),
        (["id=A", "attributes.country=B"], "a field that every contact has"),
        (["id=A", "time_zone=Mars/Base"], "'Mars/Base' is not an IANA time zone"),
        (["id=A", "attributes=rest", "attributes.plan=B"], "given as one column already"),
    ],
)
def test_a_wrong_mapping_is_refused_by_name(pairs: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        mapping_from_pairs(pairs, ContactMapping)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["id=Key", "email=Mail"], "the file has no column 'Mail'"),
        (["id=Key", "attributes=rest"], "'Country' would be an attribute 'country'"),
        (["id=Key", "country=Country", "attributes=rest", "types.plam=integer"], "types: 'plam' is not mapped"),
    ],
)
def test_a_mapping_that_does_not_fit_the_file_is_refused(pairs: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        mapping_from_pairs(pairs, ContactMapping).attribute_columns(["Key", "Country", "Plan"])


def test_an_event_is_named_once_and_its_name_is_no_column() -> None:
    with pytest.raises(InvalidInput, match="either event"):
        mapping_from_pairs(["contact=c", "at=t"], EventMapping)
    mapping = mapping_from_pairs(["contact=c", "at=t", "event=kind"], EventMapping)
    with pytest.raises(InvalidInput, match="event_column=kind"):
        mapping.property_columns(["c", "t", "kind"])


def test_a_mapping_file_names_the_line_that_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_text("id: Key\nemial: E\n")
    with pytest.raises(InvalidDefinition, match=r"mapping.yaml:2: emial: is not a field here"):
        read_definition(file, ContactMapping)


def test_the_mapping_of_the_documentation_is_one(tmp_path: Path) -> None:
    text = (PROJECT_DIR / "docs" / "imports.md").read_text("utf-8")
    file = tmp_path / "mapping.yaml"
    file.write_text(text.split("```yaml\n")[1].split("```")[0], "utf-8")
    mapping = read_definition(file, ContactMapping)
    assert mapping.core_columns()["id"] == "customer_no"
    assert mapping.consent.channels() == {"email": "Newsletter"}
