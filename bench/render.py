"""Messages: contacts a second from frozen fields to fragments and to whole texts, on one core and by two workers.

The sample: a subject, an HTML part of 2 KB and an SMS, with 8 substitutions, if/else, a default, a loop over 3 items,
filters for dates and titles. Then a whole run of the sample definitions (`run_`: ids, signed links and batches too).
Seconds are CPU seconds of workers with one thread each: other work on the machine does not change them.

Baseline: what everybody does, a loop over the contacts that calls Jinja2's `render` for each part.
"""

import multiprocessing
import os
import random
import resource
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import polars as pl
from common import arguments, installation, show
from jinja2 import Environment
from pydantic import SecretStr

from campaign_pipeline.core import ids
from campaign_pipeline.core.paths import SAMPLE_DEFINITIONS_DIR
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.compiled import CompiledTemplate, compile_template
from campaign_pipeline.messages.definition import Template
from campaign_pipeline.messages.links import unsubscribe_token, unsubscribe_url
from campaign_pipeline.messages.render import Rendered, render_run
from campaign_pipeline.messages.skeletons import MessageSkeleton, assemble
from campaign_pipeline.messages.store import StoredTemplate
from campaign_pipeline.messages.vectorised.assemble import assembled_columns, together
from campaign_pipeline.messages.vectorised.program import Program
from campaign_pipeline.messages.workers import CHUNK
from campaign_pipeline.operations.apply import read_folder

RUN = "bench--20260302t090000z"
PUBLIC_URL = "https://n.example.com"
AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
NAMES = ["ann", "Zoë", "O'Brien", "<b>Bo</b>", "Łukasz", " Kim ", "", None]
CHECKED = 200
"""Messages that are compared with the baseline's, letter by letter."""

SUBJECT = "{{ contact.first_name | default('there', true) | title }}, {{ contact.points }} points until Sunday"
TEXT = "<p style='margin:0 0 16px'>The new collection is in the shop: washed linen, light jackets, a quiet green.</p>\n"
HTML = (
    "<h1>Hello {{ contact.first_name | default('there', true) | title }} {{ contact.last_name }}</h1>\n"
    "{% if contact.tier == 'gold' %}<b>20% off</b>{% elif contact.points >= 500 %}Voucher{% else %}Hi{% endif %}"
    f"{TEXT * 17}<ul>{{% for item in contact['items'] %}}<li>{{{{ item.name }}}}: {{{{ '%.2f' | format(item.price) }}}}"
    "</li>{% endfor %}</ul>\nIn {{ contact.town | title }} until {{ contact.until.strftime('%d %B %Y') }}."
    '<a href="{{ unsubscribe_url }}">Unsubscribe</a>'
)
SMS = "Hi {{ contact.first_name | default('there', true) }}: {{ '20' if contact.tier == 'gold' else '10' }}% off"
SOURCES = {"subject": SUBJECT, "html": HTML, "body": SMS}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--contacts", type=int, default=100_000, help="contacts of each worker")
    parser.add_argument("--repeats", type=int, default=5, help="the median of so many is told")
    given = parser.parse_args()
    contacts, repeats = (1_000, 1) if given.small else (given.contacts, given.repeats)
    os.environ["POLARS_MAX_THREADS"] = "1"  # for the workers, which import Polars anew
    context = multiprocessing.get_context("spawn")
    with installation() as opened:
        secret, file = opened.settings.link_secret.get_secret_value(), opened.settings.data_dir / "people.parquet"
        with ProcessPoolExecutor(1, context) as maker:
            maker.submit(make_people, contacts, file).result()
        with ProcessPoolExecutor(2, context) as workers:
            measured = [workers.submit(measure, file, repeats) for _ in range(2)]
            first, second = (each.result() for each in measured)
            runs = workers.submit(measure_runs, contacts, repeats, secret).result()
    seconds = {name: median(values) for name, values in first["seconds"].items()}
    loop = first["looped"] / seconds["loop"]
    figures: dict[str, float] = {}
    for what in ("fragments", "texts"):
        slower = max(seconds[what], median(second["seconds"][what]))
        figures[f"{what}_contacts_per_s"] = contacts / seconds[what]
        figures[f"two_workers_{what}_contacts_per_s"] = 2 * contacts / slower
    baseline = dict.fromkeys(figures, loop)
    if "minijinja" in seconds:
        figures["minijinja_contacts_per_s"] = first["looped"] / seconds["minijinja"]
    show(
        "render",
        figures | runs["figures"],
        baseline | runs["baseline"],
        "Jinja2 render of each part in a loop over the contacts; for run_ with ids and unsubscribe links",
        target={"fragments": 20, "two_workers": 45, "megabytes_a_worker": 400},
        setup={
            "contacts_a_worker": contacts,
            "repeats": repeats,
            "compared": CHECKED,
            "megabytes_a_worker": {
                what: round(max(each["megabytes"][what] for each in (first, second))) for what in ("fragments", "texts")
            },
            "minijinja": "measured" if "minijinja" in seconds else "not installed: skipped",
        },
    )


def measure(file: Path, repeats: int) -> dict[str, Any]:
    """A worker: CPU seconds by what was done, and the peak of its memory after it, its contacts included."""
    people = pl.read_parquet(file)["contact"]
    contacts = len(people)
    urls = pl.Series([f"{PUBLIC_URL}/u/{RUN}.{number:024x}.{number:032x}" for number in range(contacts)])
    seconds: dict[str, list[float]] = {}
    megabytes: dict[str, float] = {}
    program, skeleton = program_of_sample()
    for what in ("fragments", "texts"):
        texts = what == "texts"
        seconds[what] = [timed(lambda: whole(program, skeleton, people, urls, texts=texts)) for _ in range(repeats)]  # noqa: B023
        megabytes[what] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    looped = min(contacts, 4_000)
    some = people.head(looped).to_list()
    contexts = [{"contact": each, "unsubscribe_url": url} for each, url in zip(some, urls.head(looped), strict=True)]
    loops: dict[str, Any] = {"loop": jinja2_parts()}
    if find_spec("minijinja"):
        loops["minijinja"] = minijinja_parts()
    for name, parts in loops.items():
        seconds[name] = [timed(lambda: [render(parts, each) for each in contexts]) for _ in range(repeats)]  # noqa: B023
    compare(program, skeleton, people.head(CHECKED), urls.head(CHECKED), [render(loops["loop"], c) for c in contexts])
    return {"seconds": seconds, "megabytes": megabytes, "looped": looped}


def timed(work: Any) -> float:
    start = process_time()
    work()
    return process_time() - start


def make_people(contacts: int, file: Path) -> None:
    """Write a column of contacts (structs); first names are as hostile as people's are."""
    draw = random.Random(7)
    names = NAMES * 20 + [f"name{number}" for number in range(2_000)]
    items = [{"name": f"Shirt {number} & tie", "price": draw.randrange(20_000) / 100} for number in range(500)]
    pl.DataFrame({"contact": [person(draw, names, items) for _ in range(contacts)]}).write_parquet(file)


def person(draw: random.Random, names: list[Any], items: list[Any]) -> dict[str, Any]:
    return {
        "first_name": draw.choice(names),
        "last_name": f"Last{draw.randrange(20_000)}",
        "tier": draw.choice(["gold", "silver", "bronze", None]),
        "points": draw.randrange(5_000),
        "town": f"town {draw.randrange(500)}",
        "until": AS_OF + timedelta(days=draw.randrange(60)),
        "items": draw.sample(items, 3),
    }


def program_of_sample() -> tuple[Program, MessageSkeleton]:
    email = Template(template="email", channel=Channel.EMAIL, subject=SUBJECT, html=HTML, text="-")
    compiled = [compile_template(each) for each in (email, Template(template="sms", channel=Channel.SMS, body=SMS))]
    parts = [part for each in compiled for part in each.parts if part.name in SOURCES]
    names = frozenset({"unsubscribe_url"})
    skeleton = MessageSkeleton(tuple((part.name, part.skeleton) for part in parts))
    return Program(CompiledTemplate(tuple(parts), names), {"campaign": "bench", "variant": "a"}), skeleton


def whole(program: Program, skeleton: MessageSkeleton, people: pl.Series, urls: pl.Series, *, texts: bool) -> None:
    """All contacts, chunk by chunk, as in a run; the results are let go."""
    for start in range(0, len(people), CHUNK):
        chunk = people.slice(start, CHUNK)
        rendered = program.fragments(chunk, {"unsubscribe_url": urls.slice(start, CHUNK)})
        if texts:
            assembled_columns(skeleton, rendered.columns, len(chunk))
        else:
            together(rendered.columns, len(chunk))


def jinja2_parts() -> dict[str, Any]:
    return {part: Environment(autoescape=part == "html").from_string(source) for part, source in SOURCES.items()}


def minijinja_parts() -> dict[str, Any]:
    """Not the same to the letter, and with strftime as a filter: it has no methods of Python's."""
    library = import_module("minijinja")
    sources = {part: source.replace(".strftime('%d %B %Y')", " | day") for part, source in SOURCES.items()}
    sources["html"] = sources["html"].replace("'%.2f' | format(item.price)", "item.price | two")
    environment = library.Environment(
        templates={f"{part}.html" if part == "html" else part: source for part, source in sources.items()},
        filters={"day": lambda value: value.strftime("%d %B %Y"), "two": "{:.2f}".format},
    )
    return {part: Rendering(environment, "html.html" if part == "html" else part) for part in sources}


class Rendering:
    """A template of minijinja with Jinja2's way to be called."""

    def __init__(self, environment: Any, name: str) -> None:
        self._environment, self._name = environment, name

    def render(self, context: dict[str, Any]) -> str:
        return self._environment.render_template(self._name, **context)


def render(parts: dict[str, Any], context: dict[str, Any]) -> dict[str, str]:
    return {part: each.render(context) for part, each in parts.items()}


def compare(
    program: Program, skeleton: MessageSkeleton, people: pl.Series, urls: pl.Series, looped: list[dict[str, str]]
) -> None:
    """AssertionError unless the first messages say the same."""
    rendered = program.fragments(people, {"unsubscribe_url": urls})
    assert not rendered.by_reference
    assert pl.DataFrame(assembled_columns(skeleton, rendered.columns, len(people))).to_dicts() == looped[: len(people)]


def measure_runs(contacts: int, repeats: int, secret: str) -> dict[str, dict[str, float]]:
    """A worker: whole runs of the first e-mail and SMS of the sample definitions, and the same one by one."""
    figures: dict[str, float] = {}
    baseline: dict[str, float] = {}
    templates = read_folder(SAMPLE_DEFINITIONS_DIR).templates
    for channel in (Channel.EMAIL, Channel.SMS):
        template = next(each for _, each in sorted(templates.items()) if each.channel is channel)
        audience = audience_of(contacts, channel)
        key, looped = SecretStr(secret), audience.head(min(contacts, 4_000))
        rendered = run(audience.head(CHECKED), template, key)
        texts = one_by_one(audience.head(CHECKED), template, key)
        assert dict(assemble(rendered.skeletons, rendered.messages)) == texts
        name = f"run_{channel}_messages_per_s"
        figures[name] = contacts / median(timed(lambda: run(audience, template, key)) for _ in range(repeats))  # noqa: B023
        seconds = median(timed(lambda: one_by_one(looped, template, key)) for _ in range(repeats))  # noqa: B023
        baseline[name] = looped.height / seconds
    return {"figures": figures, "baseline": baseline}


def audience_of(contacts: int, channel: Channel) -> pl.DataFrame:
    draw = random.Random(7)
    rows = [
        {
            "first_name": draw.choice(NAMES),
            "tier": draw.choice(["gold", "silver", "bronze", None]),
            "loyalty_points": draw.choice([None, draw.randrange(5_000)]),
        }
        for _ in range(contacts)
    ]
    address = "user{}@example.com" if channel is Channel.EMAIL else "+1212{:07d}"
    return pl.DataFrame(
        {
            "contact_id": [ids.contact_id(str(number)) for number in range(contacts)],
            "status": ["planned"] * contacts,
            "variant": ["plain"] * contacts,
            "address": [address.format(number) for number in range(contacts)],
            "send_at": pl.Series([AS_OF] * contacts, dtype=pl.Datetime("us", "UTC")),
            "locale": ["en"] * contacts,
            "contact": rows,
        }
    )


def run(audience: pl.DataFrame, template: Template, secret: SecretStr) -> Rendered:
    return render_run(
        audience,
        {"plain": StoredTemplate(template, 1, "0" * 24)},
        run_id=RUN,
        campaign="bench",
        channel=template.channel,
        public_url=PUBLIC_URL,
        link_secret=secret,
        batch_size=500,
    ).whole()


def one_by_one(audience: pl.DataFrame, template: Template, secret: SecretStr) -> dict[str, dict[str, str]]:
    """message_id -> part -> text."""
    sources = template.parts().items()
    parts = {part: Environment(autoescape=part == "html").from_string(source) for part, source in sources}
    texts: dict[str, dict[str, str]] = {}
    for contact_id, contact in audience.select("contact_id", "contact").iter_rows():
        message = ids.message_id(RUN, contact_id, template.channel)
        context: dict[str, Any] = {"contact": contact, "campaign": "bench", "variant": "plain"}
        if template.channel is Channel.EMAIL:
            context["unsubscribe_url"] = unsubscribe_url(PUBLIC_URL, unsubscribe_token(secret, RUN, message))
        texts[message] = render(parts, context)
    return texts


if __name__ == "__main__":
    main()
