"""Applying a folder of definitions: read all of it, check it as a whole, keep what is new, or change nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from campaign_pipeline.campaigns.definition import Campaign, read_campaign
from campaign_pipeline.campaigns.experiments_policy import ExperimentsPolicy, read_experiments_policy
from campaign_pipeline.campaigns.layers import clashes
from campaign_pipeline.campaigns.sending_policy import SendingPolicy, read_sending_policy
from campaign_pipeline.campaigns.store import (
    apply_campaign,
    apply_experiments_policy,
    apply_sending_policy,
    campaign_state,
    load_campaigns,
    load_experiments_policy,
)
from campaign_pipeline.core.database import writing
from campaign_pipeline.core.definitions import Definition, Location, read_yaml
from campaign_pipeline.core.errors import InvalidDefinition, InvalidInput
from campaign_pipeline.core.versions import Change
from campaign_pipeline.core.words import Channel, RunState
from campaign_pipeline.messages.authoring.reading import read_template_file
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.store import apply_template, load_templates
from campaign_pipeline.operations.content import complete
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.segments.definition import Segment, read_segment_file, walk
from campaign_pipeline.segments.references import check_references
from campaign_pipeline.segments.store import apply_segment, load_segments
from campaign_pipeline.segments.tree import EngagedNode

SENDING, EXPERIMENTS = ("sending", "policy"), ("experiments", "policy")
"""Kind and name of the team's policies, of which there is one each."""

D = TypeVar("D", bound=Definition)


@dataclass(frozen=True)
class Applied:
    """One definition and what applying it did."""

    kind: str
    name: str
    change: Change


@dataclass(frozen=True)
class Folder:
    """The definitions of a folder, by name, and the file of each."""

    segments: Mapping[str, Segment]
    templates: Mapping[str, Template]
    campaigns: Mapping[str, Campaign]
    sending: SendingPolicy | None
    experiments: ExperimentsPolicy | None
    files: Mapping[tuple[str, str], Path]


def apply_folder(installation: Installation, folder: Path) -> list[Applied]:
    """Check and keep every definition under `folder`; InvalidDefinition, and nothing kept, if one is wrong."""
    found = read_folder(folder)
    at = installation.clock()
    with writing(installation.engine) as connection:
        segments = load_segments(connection) | dict(found.segments)
        check_references(segments)
        completed = complete(installation, connection, found.templates, segments)
        templates = {name: each.template for name, each in load_templates(connection).items()} | completed
        campaigns = load_campaigns(connection) | dict(found.campaigns)
        for name, segment in found.segments.items():
            _check_engagement(segment, found.files["segment", name], campaigns)
        for name, campaign in found.campaigns.items():
            _check_campaign(campaign, found.files["campaign", name], segments, templates)
        for name, campaign in load_campaigns(connection).items():
            if name not in found.campaigns:  # a changed template must still fit the campaigns that use it
                _check_campaign(campaign, folder, segments, templates)
        _check_experiments(found, folder, campaigns, _cancelled(connection), load_experiments_policy(connection))
        return [
            *(Applied("segment", name, apply_segment(connection, each, at)) for name, each in found.segments.items()),
            *(Applied("template", name, apply_template(connection, each, at)[0]) for name, each in completed.items()),
            *(
                Applied("campaign", name, apply_campaign(connection, each, at))
                for name, each in found.campaigns.items()
            ),
            *(
                Applied(*SENDING, apply_sending_policy(connection, policy, at))
                for policy in (found.sending,)
                if policy is not None
            ),
            *(
                Applied(*EXPERIMENTS, apply_experiments_policy(connection, policy, at))
                for policy in (found.experiments,)
                if policy is not None
            ),
        ]


def read_folder(folder: Path) -> Folder:
    """All definitions under `folder`: segments/, templates/ and campaigns/, each *.yaml and *.json one definition.

    Beside these folders may be one file for each policy of the team: sending.yaml and experiments.yaml (.yml, .json).
    """
    if not folder.is_dir():
        raise InvalidInput(
            f"{folder} is not a folder", "Give the folder that holds segments/, templates/ and campaigns/."
        )
    files: dict[tuple[str, str], Path] = {}
    segments = _read(folder / "segments", "segment", read_segment_file, files)
    templates = _read(folder / "templates", "template", read_template_file, files)
    campaigns = _read(folder / "campaigns", "campaign", read_campaign, files)
    sending = _read_policy(folder, SENDING, read_sending_policy, files)
    experiments = _read_policy(folder, EXPERIMENTS, read_experiments_policy, files)
    if not files:
        raise InvalidInput(
            f"{folder} holds no definitions", "Put YAML or JSON files under its segments/, templates/ and campaigns/."
        )
    return Folder(segments, templates, campaigns, sending, experiments, files)


def _read_policy(
    folder: Path, key: tuple[str, str], read: Callable[[Path], D], files: dict[tuple[str, str], Path]
) -> D | None:
    kind = key[0]
    found = [file for file in (folder / f"{kind}.{ending}" for ending in ("yaml", "yml", "json")) if file.is_file()]
    if not found:
        return None
    if len(found) > 1:
        raise InvalidDefinition(found[1], 0, "", f"there is one {kind} policy, and it is in {found[0]} already")
    files[key] = found[0]
    return read(found[0])


def _read(folder: Path, kind: str, read: Callable[[Path], D], files: dict[tuple[str, str], Path]) -> dict[str, D]:
    definitions: dict[str, D] = {}
    for file in sorted(file for pattern in ("*.yaml", "*.yml", "*.json") for file in folder.glob(pattern)):
        definition = read(file)
        name: str = getattr(definition, kind)
        if name in definitions:
            raise InvalidDefinition(file, 1, kind, f"{name!r} is already defined in {files[kind, name]}")
        definitions[name] = definition
        files[kind, name] = file
    return definitions


def _check_campaign(
    campaign: Campaign, file: Path, segments: Mapping[str, Segment], templates: Mapping[str, Template]
) -> None:
    """The segment and the templates are there, and the templates are for the campaign's channel."""
    lines = read_yaml(file)[1] if file.is_file() else {}
    if campaign.segment not in segments:
        problem = f"segment {campaign.segment!r} does not exist{_nearest(campaign.segment, segments)}"
        raise InvalidDefinition(file, lines.get(("segment",), 0), "segment", problem)
    named: list[tuple[Location, str, Channel]] = [
        (("variants", index, "template"), variant.template, campaign.channel)
        for index, variant in enumerate(campaign.variants)
    ]
    named += [
        (("fallback", index, "templates", variant), name, step.channel)
        for index, step in enumerate(campaign.fallback)
        for variant, name in step.templates.items()
    ]
    for place, name, channel in named:
        line, field = lines.get(place, 0), ".".join(map(str, place))
        template = templates.get(name)
        if template is None:
            problem = f"template {name!r} does not exist{_nearest(name, templates)}"
            raise InvalidDefinition(file, line, field, problem)
        if template.channel != channel:
            whose = f"campaign {campaign.campaign!r}" if place[0] == "variants" else "this step"
            problem = f"template {name!r} is for {template.channel}, {whose} for {channel}"
            raise InvalidDefinition(file, line, field, problem)


def _cancelled(connection: sa.Connection) -> set[str]:
    return {name for name in load_campaigns(connection) if campaign_state(connection, name) == RunState.CANCELLED}


def _check_experiments(
    found: Folder, folder: Path, campaigns: Mapping[str, Campaign], cancelled: set[str], in_force: ExperimentsPolicy
) -> None:
    """Layers are those of the policy, and no two experiments of one have a contact in common."""
    layers = (found.experiments or in_force).layers
    running = {name: each for name, each in campaigns.items() if name not in cancelled}
    for name, campaign in running.items():
        file = found.files.get(("campaign", name), folder)
        if (layer := campaign.design.layer) is not None and layer not in layers:
            problem = f"layer {layer!r} of campaign {name!r} does not exist{_nearest(layer, layers)}"
            hint = "Layers stand in experiments.yaml beside the folders: layers: {NAME: what it is for}"
            raise InvalidDefinition(file, _line(file, "experiment.layer"), "experiment.layer", problem, hint)
        if name in found.campaigns:
            for field, problem in clashes(campaign, running.values()):
                at = f"experiment.{field}"
                raise InvalidDefinition(file, _line(file, at), at, problem)


def _check_engagement(segment: Segment, file: Path, campaigns: Mapping[str, Campaign]) -> None:
    """The campaigns and variants that the segment asks for engagement with are there."""
    for line in walk(segment):
        if isinstance(line.node, EngagedNode):
            named = [name for name in line.node.engaged.campaign or () if name in campaigns]
            variants = {variant.name for name in named or campaigns for variant in campaigns[name].variants}
            for field, names, known in (
                ("campaign", line.node.engaged.campaign, campaigns),
                ("variant", line.node.engaged.variant, dict.fromkeys(variants)),
            ):
                if unknown := [name for name in names or () if name not in known]:
                    at = f"{line.path}.engaged.{field}"
                    problem = f"{field} {unknown[0]!r} does not exist{_nearest(unknown[0], known)}"
                    raise InvalidDefinition(file, _line(file, at), at, problem)


def _line(file: Path, path: str) -> int:
    """The line of what stands at `path`, or of what is nearest above it."""
    if not file.is_file():
        return 0
    lines = read_yaml(file)[1]
    place = tuple(int(part) if part.isdigit() else part for part in path.split("."))
    return next(lines[place[:end]] for end in range(len(place), -1, -1) if place[:end] in lines)


def _nearest(name: str, names: Mapping[str, object]) -> str:
    near = get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
