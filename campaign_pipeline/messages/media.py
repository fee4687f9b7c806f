"""Media of messages: images, kept by their content, under names that templates use as `{{ media('hero.png') }}`.

A file is `<hash>.<extension>` and never changes, so its address can be cached for ever. When a template is applied, its
`media(...)` becomes that address: a name that moves to another image later changes no template that was applied.

SVG is not taken: Gmail and Outlook do not show it, and from our address it could run scripts.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.tables import media
from campaign_pipeline.core.versions import Change
from campaign_pipeline.messages.variables import MEDIA_NAME

EXTENSIONS = {"png": "png", "jpeg": "jpg", "gif": "gif", "webp": "webp"}
"""type -> extension of its files; the content type is image/<type>."""


@dataclass(frozen=True)
class Medium:
    """`type`: png | jpeg | gif | webp. `bytes`: its size."""

    name: str
    version: int
    hash: str
    type: str
    bytes: int
    added_at: datetime

    @property
    def file(self) -> str:
        return f"{self.hash}.{EXTENSIONS[self.type]}"


def add_media(
    connection: sa.Connection, folder: Path, file: Path, name: str, *, max_bytes: int, at: datetime
) -> tuple[Change, Medium]:
    """Keep `file` in `folder`, and let `name` be it; the same content again changes nothing.

    InvalidInput: the content is not one of EXTENSIONS, or cut short, or too large, or `name` has another extension.
    """
    if not MEDIA_NAME.fullmatch(name):
        raise InvalidInput(f"media name {name!r} is not usable", "Use letters, digits, dots, - and _; or give --name.")
    try:
        size = file.stat().st_size
        content = file.read_bytes() if size <= max_bytes else b""
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None
    if size > max_bytes:
        raise InvalidInput(
            f"{file} has {size:,} bytes, more than {max_bytes:,}", "Make it smaller; or see CAMPAIGN_MEDIA_MAX_BYTES."
        )
    kind = image_type(content)
    if kind is None:
        raise InvalidInput(f"{file} is not a whole PNG, JPEG, GIF or WebP image", "Mail programs show only these.")
    if Path(name).suffix.lower().replace(".jpeg", ".jpg") != f".{EXTENSIONS[kind]}":
        raise InvalidInput(f"{file} is a {kind} image, but the name is {name!r}", f"Name it *.{EXTENSIONS[kind]}.")
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    newest = load_media(connection).get(name)
    if newest and newest.hash == digest:
        change, medium = "unchanged", newest
    else:
        change = "changed" if newest else "new"
        medium = Medium(name, newest.version + 1 if newest else 1, digest, kind, size, at)
    copy_whole(file, folder / medium.file)
    if change != "unchanged":
        connection.execute(sa.insert(media).values(vars(medium)))
    return change, medium


def load_media(connection: sa.Connection) -> dict[str, Medium]:
    """The newest version of every medium, by name, sorted."""
    rows = connection.execute(sa.select(media).order_by(media.c.name, media.c.version))
    return {row.name: Medium(*row) for row in rows}


def image_type(content: bytes) -> str | None:
    """What the content is, from its first bytes to its last: png, jpeg, gif or webp; None for anything else."""
    if content.startswith(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR") and content.endswith(b"IEND\xaeB`\x82"):
        return "png"
    if content.startswith(b"\xff\xd8\xff") and content.rstrip(b"\0").endswith(b"\xff\xd9"):
        return "jpeg"
    if content.startswith((b"GIF87a", b"GIF89a")) and content.rstrip(b"\0").endswith(b";"):
        return "gif"
    if (
        content[:4] == b"RIFF"
        and content[8:15] == b"WEBPVP8"
        and int.from_bytes(content[4:8], "little") + 8 == len(content)
    ):
        return "webp"
    return None


def copy_whole(file: Path, target: Path) -> None:
    """Copy `file`, which never changes, to `target`: it is there whole or not at all."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with temporary.open("wb") as copy, file.open("rb") as source:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)
