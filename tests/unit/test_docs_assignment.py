"""docs/assignment.md: its examples are applied, its errors are real, its GrowthBook experiment assigns alike."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa

from campaign_pipeline.campaigns.arms import assign
from campaign_pipeline.campaigns.experiment import ExperimentDesign
from campaign_pipeline.campaigns.experiments_policy import ExperimentsPolicy, GlobalHoldout, read_experiments_policy
from campaign_pipeline.campaigns.store import load_experiments_policy, load_run, request_run
from campaign_pipeline.core import ids
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.definitions import Definition
from campaign_pipeline.core.errors import InvalidDefinition
from campaign_pipeline.core.hashing import buckets
from campaign_pipeline.core.settings import Settings
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.control import cancel
from campaign_pipeline.operations.installation import Installation

PAGE = (Path(__file__).parents[2] / "docs" / "assignment.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
AT = datetime(2026, 8, 3, 9, tzinfo=UTC)
LINK = '<a href="{{ unsubscribe_url }}">x</a>'
OTHERS = {
    "segments/everybody.yaml": "segment: everybody\nwhere: {reachable: email}\n",
    **{
        f"templates/{name}.yaml": f"template: {name}\nchannel: email\nsubject: Hi\nhtml: '{LINK}'\ntext: x\n"
        for name in ("hello", "hello_points")
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "definitions"
    for name, text in (OTHERS | {name: f"# {name}\n{text}" for name, text in EXAMPLES.items()}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def installation(settings: Settings, engine: sa.Engine) -> Installation:
    return Installation(settings)


def edit(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def test_the_examples_are_applied_and_the_policy_is_in_force(installation: Installation, folder: Path) -> None:
    applied = apply_folder(installation, folder)
    assert {(each.kind, each.name) for each in applied if each.kind in ("campaign", "experiments")} == {
        ("campaign", "layout"),
        ("campaign", "subject"),
        ("experiments", "policy"),
    }
    assert {each.change for each in apply_folder(installation, folder)} == {"unchanged"}
    with reading(installation.engine) as connection:
        assert load_experiments_policy(connection) == read_experiments_policy(folder / "experiments.yaml")
    (folder / "experiments.yaml").unlink()
    apply_folder(installation, folder)
    (folder / "experiments.yaml").write_text("layers: {}\n")
    with pytest.raises(InvalidDefinition, match="layer 'mails' of campaign 'layout' does not exist"):
        apply_folder(installation, folder)


def test_the_growthbook_experiment_assigns_alike(installation: Installation, folder: Path) -> None:
    apply_folder(installation, folder)
    with writing(installation.engine) as connection:
        run = load_run(connection, request_run(connection, "subject", AT, requested_by="cli", at=AT))
        policy = load_experiments_policy(connection)
    theirs = json.loads(re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0])
    some = pl.Series([ids.contact_id(str(n)) for n in range(3000)])
    included = np.ones(len(some), dtype=bool)
    for each in theirs["filters"]:
        places, (start, end) = buckets(each["seed"], some), each["ranges"][0]
        included &= (places >= start) & (places < end)
    chosen = np.where(buckets(theirs["key"], some) < theirs["weights"][0], *theirs["variations"])
    found = assign(run, some, policy)["variant"]
    ours = found.is_in(theirs["variations"]).fill_null(value=False).to_numpy()
    assert (ours == included).all()
    assert (found.to_numpy()[included] == chosen[included]).all()
    assert included.sum() > 800


@pytest.mark.parametrize(("line", "old", "new"), [(0, "[0.5, 1]", "[0.4999, 1]"), (1, "layer: mails", "layer: mail")])
def test_the_errors_are_real(installation: Installation, folder: Path, line: int, old: str, new: str) -> None:
    edit(folder, "campaigns/layout.yaml", old, new)
    with pytest.raises(InvalidDefinition) as error:
        apply_folder(installation, folder)
    told = re.findall(r"^error: (.*)$", PAGE, re.MULTILINE)[line]
    assert error.value.message.replace(str(folder), "definitions") == told


def test_experiments_that_follow_each_other_or_were_cancelled_do_not_clash(
    installation: Installation, folder: Path
) -> None:
    edit(folder, "campaigns/layout.yaml", "range: [0.5, 1]", "since: 2026-10-01")
    apply_folder(installation, folder)
    edit(folder, "campaigns/layout.yaml", "since: 2026-10-01", "since: 2026-09-30")
    with pytest.raises(InvalidDefinition, match="overlaps"):
        apply_folder(installation, folder)
    (folder / "campaigns/subject.yaml").unlink()
    with pytest.raises(InvalidDefinition, match="of campaign 'subject'"):  # it was applied before
        apply_folder(installation, folder)
    cancel(installation, "subject", actor="cli")
    apply_folder(installation, folder)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("range: [0.5, 1]", "range: [0, 0.5]", "range"),
        ("name: wide", "name: tall", "variants"),
        ("sticky: false", "coverage: 0.5", "coverage"),
    ],
)
def test_campaigns_of_one_experiment_are_alike(
    installation: Installation, folder: Path, old: str, new: str, field: str
) -> None:
    text = (folder / "campaigns/layout.yaml").read_text()
    (folder / "campaigns/twin.yaml").write_text(text.replace("campaign: layout", "campaign: twin"))
    apply_folder(installation, folder)
    edit(folder, "campaigns/twin.yaml", old, new)
    with pytest.raises(InvalidDefinition, match=f"'layout' and 'twin', which differ in {field}"):
        apply_folder(installation, folder)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("range: [0.5, 1]", "range: [0.5, 0.5]", r"must go up, such as \[0, 0.5\]"),
        ("range: [0.5, 1]", "range: [0.5, 1.5]", "less than or equal to 1"),
        ("layer: mails, ", "", "name the layer"),
        ("sticky: false", "coverage: 0", "greater than 0"),
        ("sticky: false", "since: 2026-02-02, until: 2026-02-02", "is not after since"),
        ("name: wide", "name: not_in_test", "'not_in_test' is taken"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, installation: Installation, old: str, new: str, told: str) -> None:
    edit(folder, "campaigns/layout.yaml", old, new)
    with pytest.raises(InvalidDefinition, match=told):
        apply_folder(installation, folder)


@pytest.mark.parametrize("model", [ExperimentsPolicy, GlobalHoldout, ExperimentDesign])
def test_every_field_is_explained(model: type[Definition]) -> None:
    rows = " ".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))
    assert [name for name in model.model_fields if f"`{name}`" not in rows] == []
