"""Templates in the operational database: immutable versions, of which a run records the hash."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from campaign_pipeline.core.tables.messages import template_versions
from campaign_pipeline.core.versions import Change, Version, apply_version, newest_version, newest_versions
from campaign_pipeline.messages.definition import Template


@dataclass(frozen=True)
class StoredTemplate:
    template: Template
    version: int
    hash: str


def apply_template(connection: sa.Connection, template: Template, at: datetime) -> tuple[Change, StoredTemplate]:
    """Keep `template` as its newest version; an equal one adds nothing."""
    definition = template.model_dump(mode="json", exclude_defaults=True)  # a field added later changes no hash
    change, version = apply_version(connection, template_versions, template.template, definition, at)
    return change, _stored(version)


def load_template(connection: sa.Connection, name: str) -> StoredTemplate:
    """The newest version of `name`; NotFound names what is there instead."""
    return _stored(newest_version(connection, template_versions, name))


def load_templates(connection: sa.Connection) -> dict[str, StoredTemplate]:
    """The newest version of every template, by name, sorted."""
    return {name: _stored(version) for name, version in newest_versions(connection, template_versions).items()}


def _stored(version: Version) -> StoredTemplate:
    return StoredTemplate(Template.model_validate(version.definition), version.version, version.hash)
