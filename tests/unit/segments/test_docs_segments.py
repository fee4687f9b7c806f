"""docs/segments.md: its examples give what it says, the schema is current, and no node or field is left out."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from campaign_pipeline.cli.segments import segments as commands
from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.core.errors import CampaignError
from campaign_pipeline.core.ids import contact_id
from campaign_pipeline.core.lake import Lake
from campaign_pipeline.core.paths import PROJECT_DIR, SAMPLE_DEFINITIONS_DIR
from campaign_pipeline.core.words import Channel
from campaign_pipeline.segments.definition import Segment, read_segment_file
from campaign_pipeline.segments.evaluate import members, preview
from campaign_pipeline.segments.nodes.did import Did
from campaign_pipeline.segments.nodes.engaged import Engaged, What
from campaign_pipeline.segments.nodes.limit import Limit
from campaign_pipeline.segments.nodes.measured import Measured
from campaign_pipeline.segments.nodes.metric import Metric
from campaign_pipeline.segments.nodes.rfm import Rfm
from campaign_pipeline.segments.nodes.sample import Sample
from campaign_pipeline.segments.nodes.trait import Trait
from campaign_pipeline.segments.operators import Operator
from campaign_pipeline.segments.schema import schema_text, segment_schema
from campaign_pipeline.segments.tree import NODE_TYPES

PAGE = (PROJECT_DIR / "docs" / "segments.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(
    r"^```(yaml|json)\n((?:(?!```).)*)^```\n\n\*\*(Matches|Error):\*\* ([^\n]*)$", re.MULTILINE | re.DOTALL
)
AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")
FIELDS: dict[str, Any] = {
    "country": pl.String,
    "tier": pl.String,
    "points": pl.Int64,
    "newsletter": pl.Boolean,
    "birthday": pl.String,
}


def examples() -> Iterator[tuple[str, str, str, str]]:
    """(yaml or json, text, Matches or Error, what comes out)"""
    yield from EXAMPLE.findall(PAGE)


def test_every_segment_of_the_page_says_what_comes_out() -> None:
    blocks = re.findall(r"^```(?:yaml|json)\n(segment: |\{)", PAGE, re.MULTILINE)
    assert len(blocks) == len(list(examples())) > 25


@pytest.fixture(scope="module")
def world() -> dict[str, Any]:
    (block,) = re.findall(r"^```yaml\n(contacts:.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return yaml.safe_load(block)


@pytest.fixture(scope="module")
def page_lake(world: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("page"))
    contacts = [
        {
            "contact_id": contact_id(name),
            "created_at": moment(row["created_at"]),
            **{field: row.get(field) for field in FIELDS},
            **{f"reachable_{channel}": channel in row.get("reachable", []) for channel in Channel},
            "lists": row.get("lists", []),
            "tags": row.get("tags", []),
        }
        for name, row in world["contacts"].items()
    ]
    types = FIELDS | {"created_at": TIME, "lists": pl.List(pl.String), "tags": pl.List(pl.String)}
    lake.write(pl.DataFrame(contacts, schema_overrides=types).sort("contact_id"), "contact_snapshot")
    events = [
        (str(n), contact_id(who), what, moment(when), json.dumps(how))
        for n, (who, what, when, how) in enumerate(world["events"])
    ]
    columns = {"event_id": pl.String, "contact_id": pl.String, "event": pl.String, "occurred_at": TIME}
    lake.write(pl.DataFrame(events, schema=columns | {"properties": pl.String}, orient="row"), "behaviour", "page")
    for campaign in {message[1] for message in world["messages"]}:
        rows = [
            {
                "run_id": f"{campaign}--20260301t090000z",
                "campaign": campaign,
                "channel": channel,
                "contact_id": contact_id(who),
                "variant": variant,
                **{what.column: moment(times.get(what.column.removesuffix("_at"))) for what in What},
            }
            for who, name, variant, channel, times in world["messages"]
            if name == campaign
        ]
        types = {what.column: TIME for what in What}
        lake.write(pl.DataFrame(rows, schema_overrides=types), "message_facts", f"{campaign}--20260301t090000z")
    return lake


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Segment]:
    folder = tmp_path_factory.mktemp("segments")
    found: dict[str, Segment] = {}
    for number, (language, text, _, _) in enumerate(examples()):
        file = folder / f"{number}.{language}"
        file.write_text(text, encoding="utf-8")
        segment = read_segment_file(file)
        assert segment.segment not in found, "two examples have one name"
        found[segment.segment] = segment
    return found


def outcome(lake: Lake, library: dict[str, Segment], name: str, world: dict[str, Any]) -> tuple[str, str]:
    """(Matches or Error, what comes out) as the page writes it."""
    names = {contact_id(person): person for person in world["contacts"]}
    try:
        found = members(lake, library[name], library, AS_OF)["contact_id"]
    except CampaignError as error:
        return "Error", f"`{error.message}`"
    assert preview(lake, library[name], library, AS_OF).count == len(found)
    return "Matches", f"{', '.join(sorted(names[one] for one in found)) or 'nobody'}."


@pytest.mark.parametrize("number", range(len(list(examples()))))
def test_an_example_gives_what_the_page_says(
    number: int, page_lake: Lake, library: dict[str, Segment], world: dict[str, Any]
) -> None:
    _, _, kind, expected = list(examples())[number]
    assert outcome(page_lake, library, list(library)[number], world) == (kind, expected)


def test_every_example_and_sample_fits_the_schema() -> None:
    validator = jsonschema.Draft202012Validator(segment_schema())
    validator.check_schema(segment_schema())
    texts = [text for _, text, _, _ in examples()]
    texts += [file.read_text(encoding="utf-8") for file in (SAMPLE_DEFINITIONS_DIR / "segments").glob("*.yaml")]
    for text in texts:
        # An editor reads dates without quotes as text.
        data = json.loads(json.dumps(yaml.safe_load(text), default=str))
        assert [error.message for error in validator.iter_errors(data)] == [], text


@pytest.mark.parametrize(
    "change",
    [
        {"segment": "Not A Name"},
        {"wher": {"segment": "a"}},
        {"where": {"trial": {"field": "a"}}},
        {"where": {"trait": {"field": "a"}}},
        {"where": {"trait": {"field": "a", "eq": 1, "gt": 2}}},
        {"where": {"trait": {"field": "a", "equals": 1}}},
        {"where": {"segment": "a", "list": "b"}},
        {"where": {}},
        {"where": {"not": None}},
        {"where": {"did": {"event": "a", "within": "90 days"}}},
        {"where": {"did": {"event": "a", "count": {"gte": 1, "lt": 3}}}},
        {"where": {"did": {"event": "a", "count": "many"}}},
        {"where": {"did": {}}},
        {"where": {"list": 5}},
        {"where": {"list": ""}},
        {"where": {"reachable": "pigeon"}},
        {"where": {"engaged": {"what": "smelled"}}},
        {"where": {"metric": {"name": "a", "gte": 1, "percentile": {"gte": 2}}}},
        {"where": {"rfm": {"event": "a"}}},
        {"where": {"rfm": {"event": "a", "monetary": {"gte": 2}}}},
        {"metrics": {"a": {"event": "b"}}},
        {"metrics": {"a": {"event": "b", "sum": "c", "avg": "c"}}},
        {"metrics": {"Not A Name": {"event": "b", "count": "events"}}},
        {"exclude": ["complaints"]},
        {"exclude": "list:complaints"},
        {"sample": {"percent": 0, "seed": "a"}},
        {"sample": {"percent": 5}},
        {"limit": {"n": 0}},
        {"limit": 5},
    ],
    ids=str,
)
def test_what_is_wrong_is_refused_by_the_schema_and_by_the_models(change: dict[str, Any], tmp_path: Path) -> None:
    right = {"segment": "a", "where": {"trait": {"field": "b", "eq": 1}}}
    validator = jsonschema.Draft202012Validator(segment_schema())
    assert validator.is_valid(right)
    assert not validator.is_valid(right | change)
    file = tmp_path / "a.json"
    file.write_text(json.dumps(right | change))
    with pytest.raises(CampaignError):
        read_segment_file(file)


def test_the_published_schema_is_current(tmp_path: Path) -> None:
    assert (PROJECT_DIR / "docs" / "segment.schema.json").read_text(encoding="utf-8") == schema_text()
    runner = CliRunner()
    assert runner.invoke(commands, ["schema"]).stdout == schema_text()
    file = tmp_path / "schema.json"
    assert json.loads(runner.invoke(commands, ["schema", str(file), "--json"]).stdout) == {"file": str(file)}
    assert file.read_text(encoding="utf-8") == schema_text()
    assert isinstance(runner.invoke(commands, ["schema", str(tmp_path / "no" / "where")]).exception, CampaignError)


@pytest.mark.parametrize("model", [Segment, Trait, Did, Engaged, Metric, Measured, Rfm, Sample, Limit], ids=str)
def test_every_field_is_explained(model: type[Definition]) -> None:
    names = {field.alias or name for name, field in model.model_fields.items()}
    assert {name for name in names if not explained(name)} == set()


def test_every_node_operator_and_word_is_explained_and_shown() -> None:
    assert {word for word in (*NODE_TYPES, *Operator, *What) if not explained(word)} == set()
    shown = {key for _, text, _, _ in examples() for key in keys(yaml.safe_load(text))}
    assert {*NODE_TYPES, *Operator, "percentile"} - shown == set()


def explained(name: str) -> bool:
    """Named as code: `name`, or at the start of one such as `all: [nodes]`."""
    return re.search(rf"`\{{?{re.escape(name)}(: [^`]*)?`", PAGE) is not None


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys(inner)


@pytest.mark.parametrize("text", ["{trait: {fild: country, eq: DE}}", "{traits: {field: country, eq: DE}}"])
def test_the_page_shows_the_errors_as_they_are(tmp_path: Path, text: str) -> None:
    file = tmp_path / "typo.yaml"
    file.write_text(f"segment: typo\n# a rule\nwhere: {text}\n")
    with pytest.raises(CampaignError) as raised:
        read_segment_file(file)
    known = ", ".join(NODE_TYPES)
    message = raised.value.message.replace(str(file), "segments/typo.yaml").replace(known, "all, any, not, trait, ...")
    assert f"error: {message}\n" in PAGE
