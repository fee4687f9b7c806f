"""A template's messages as files: one a part and language, to open or to compare."""

from dataclasses import dataclass
from pathlib import Path

from campaign_pipeline.core.database import reading
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.store import load_template
from campaign_pipeline.messages.trial import Trial
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.trials import trials


@dataclass(frozen=True)
class Preview:
    """`files`: part -> the file that its text is in."""

    locale: str
    files: dict[str, Path]
    sms_parts: int | None


def write_previews(
    installation: Installation,
    name: str,
    out: Path | None = None,
    contact: str | None = None,
    locale: str | None = None,
) -> list[Preview]:
    """Write what template `name` says to a made-up contact in each language, or to `contact` in its own.

    Into the folder `out` (data_dir/previews): NAME.LOCALE.html, NAME.LOCALE.text.txt ... Links in them do nothing. What
    a real contact would be sent is that contact's data: keep the files as such.
    """
    with reading(installation.engine) as connection:
        template = load_template(connection, name).template
    folder = out or installation.settings.data_dir / "previews"
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder, trial) for trial in trials(installation, template, contact, locale)]


def _write(folder: Path, trial: Trial) -> Preview:
    whatsapp = trial.template.channel is Channel.WHATSAPP
    files: dict[str, Path] = {}
    for part, text in ({"whatsapp": trial.says} if whatsapp else trial.parts).items():
        ending = "html" if part == "html" else f"{part}.txt"
        files[part] = folder / f"{trial.template.template}.{trial.locale}.{ending}"
        files[part].write_text(text, encoding="utf-8")
    return Preview(trial.locale, files, trial.sms_parts)
