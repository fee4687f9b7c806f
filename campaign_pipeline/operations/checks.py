"""What is wrong with templates and with the messages of a run, before anything is sent."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import polars as pl

from campaign_pipeline.campaigns.gates import Gate
from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.core.checks import Severity
from campaign_pipeline.core.database import reading
from campaign_pipeline.core.ids import trial_run_id
from campaign_pipeline.messages.checks.finding import SHOWN, Finding, graded, together
from campaign_pipeline.messages.checks.rendered import READ, Unsubscribe, check_messages
from campaign_pipeline.messages.chunks import Job
from campaign_pipeline.messages.compiled import Problem, RenderingError
from campaign_pipeline.messages.contact_tables import tables
from campaign_pipeline.messages.context import needs
from campaign_pipeline.messages.coupons import pools
from campaign_pipeline.messages.definition import Template, unknown_variables
from campaign_pipeline.messages.links import LinkTo, message_urls
from campaign_pipeline.messages.locales import choose_all
from campaign_pipeline.messages.run_context import RunContext, example_links
from campaign_pipeline.messages.skeletons import read_skeletons
from campaign_pipeline.messages.store import StoredTemplate, load_template, load_templates
from campaign_pipeline.messages.trial import try_out
from campaign_pipeline.messages.workers import rendered_chunks
from campaign_pipeline.operations.installation import Installation
from campaign_pipeline.operations.trials import CAMPAIGN, VARIANT, context_of, example_context, snapshot_of
from campaign_pipeline.segments.store import load_segments

NO_ERRORS, NO_WARNINGS = "no_errors_in_messages", "no_warnings_in_messages"
MESSAGES_HINT = "Correct the templates, apply them, and materialise messages: nothing of this run was sent."


@dataclass(frozen=True)
class Checked:
    """What was found in one template. `rendered`: contacts for whom it was rendered; `looked_at`: read as well."""

    template: str
    findings: list[Finding]
    rendered: int
    looked_at: int

    @property
    def errors(self) -> int:
        return sum(each.severity is Severity.ERROR for each in self.findings)


def check_templates(installation: Installation, names: Collection[str] = (), contacts: int = 100) -> list[Checked]:
    """All checks of the templates `names` (all if empty), in every language, graded as the settings say.

    Each is rendered for a made-up contact, and for every contact of the snapshot; the messages of `contacts` of them,
    spread evenly, are read. Whom a segment would leave out is not known here.
    """
    with reading(installation.engine) as connection:
        chosen = [load_template(connection, name) for name in names] or list(load_templates(connection).values())
        others = {
            "segments": set(load_segments(connection)),
            "tables": set(tables(installation.lake)),
            "coupons": set(pools(connection)),
        }
    snapshot = snapshot_of(installation)
    return [_check(installation, stored, snapshot, others, contacts) for stored in chosen]


def _check(
    installation: Installation,
    stored: StoredTemplate,
    snapshot: pl.DataFrame | None,
    others: dict[str, set[str]],
    contacts: int,
) -> Checked:
    template = stored.template
    fields = None if snapshot is None else set(snapshot.columns)
    found = [
        Finding("unknown_variable", each.part, each.line, str(each).partition(": ")[2])
        for each in unknown_variables(template, fields, others)
    ]
    found += _missing_media(installation, template)
    people = None if found or snapshot is None or snapshot.is_empty() else snapshot
    if not any(each.check == "unknown_variable" for each in found):
        found += _with_example(installation, template)
    looked_at = 0
    if people is not None:
        sampled = people["contact_id"].gather_every(max(1, -(-people.height // contacts)))
        found += _with_contacts(installation, stored, people, sampled)
        looked_at = len(sampled)
    graded_findings = graded(together(found), installation.settings.check_severity)
    return Checked(template.template, graded_findings, 0 if people is None else people.height, looked_at)


def _missing_media(installation: Installation, template: Template) -> Iterator[Finding]:
    """Addresses of our own images whose files are not there."""
    folder, address = installation.settings.media_folder, installation.settings.media_url("")
    for locale in template.languages:
        for part, source in template.parts(locale).items():
            for found in re.finditer(re.escape(address) + r"([\w.-]+)", source):
                if not (folder / found[1]).is_file():
                    line = source.count("\n", 0, found.start()) + 1
                    yield Finding("missing_media", part, line, f"{found[1]} is not in the media folder", locale=locale)


def _with_example(installation: Installation, template: Template) -> Iterator[Finding]:
    link = example_links(installation.settings.public_url)["unsubscribe_url"]
    for locale in template.languages:
        try:
            trial = try_out(template, locale, example_context(installation, template))
        except RenderingError as error:
            yield replace(_not_rendered(error.problem), locale=locale)
            continue
        row = trial.row(message_id="", contact_id="", variant="")
        for each in check_messages({("", locale): trial.skeleton}, row, {"": template}, lambda _message: link):
            yield replace(each, contacts=0, sample=())


def _with_contacts(
    installation: Installation, stored: StoredTemplate, people: pl.DataFrame, sampled: pl.Series
) -> Iterator[Finding]:
    template, settings, now = stored.template, installation.settings, installation.clock()
    run_id = trial_run_id(template.template, now)
    context = RunContext(run_id, CAMPAIGN, template.channel, settings.public_url, settings.link_secret)
    rows = people.select(
        "contact_id",
        choose_all(people["locale"], template.languages, template.locale),
        variant=pl.lit(VARIANT),
        address=pl.lit(""),
        send_at=pl.lit(now),
        contact=pl.struct(people.columns),
    )
    looked_up = context_of(installation, needs([template]), people["contact_id"], now)
    job = Job(context, {VARIANT: stored})
    failed: dict[Problem, list[str]] = defaultdict(list)
    read: list[pl.DataFrame] = []
    everybody = pl.concat([rows, looked_up.drop("contact_id")], how="horizontal")
    for _, chunk in rendered_chunks(job, everybody, settings.render_workers):
        for _, _, problem, contact in chunk.failures:
            failed[problem].append(contact)
        read.append(chunk.messages.filter(pl.col("contact_id").is_in(sampled.implode())))
    for problem, ids in failed.items():
        yield replace(_not_rendered(problem), contacts=len(ids), sample=tuple(ids[:SHOWN]))
    skeletons = {arm: variant.skeleton for arm, variant in job.variants.items()}
    unsubscribe = _unsubscribe(installation, run_id)
    for each in check_messages(skeletons, pl.concat(read), {VARIANT: template}, unsubscribe, len(sampled)):
        yield replace(each, variant="")


def _not_rendered(problem: Problem) -> Finding:
    return Finding("not_rendered", problem.part, problem.line, problem.problem)


def check_run(installation: Installation, run: Run, messages: pl.LazyFrame) -> list[Finding]:
    """What is wrong with the messages of a run (rows of the messages frame), graded as the settings say."""
    with reading(installation.engine) as connection:
        templates = load_templates(connection)
    skeletons = installation.lake.read("skeletons", run.run_id)
    unsubscribe = _unsubscribe(installation, run.run_id)
    step_of = pl.col("step") if "step" in messages.collect_schema() else pl.lit(0)
    read = messages.select(step_of.alias("step"), *READ)
    found: list[Finding] = []
    for step, (_, chosen) in enumerate(run.campaign.steps):
        by_variant = {variant: templates[name].template for variant, name in chosen.items()}
        of_step = read_skeletons(skeletons, step)
        for variant, locale in of_step:  # one after the other: what is read of all at once is large
            of_arm = read.filter(step=step, variant=variant, locale=locale)
            found += check_messages(of_step, of_arm.collect(), by_variant, unsubscribe)
    return graded(found, installation.settings.check_severity)


def message_gates(findings: Sequence[Finding], *, final: bool = False) -> list[Gate]:
    """The gates of a run's messages. `final`: they are planned, and never change: nothing is blocked any more."""
    errors = [each for each in findings if each.severity is Severity.ERROR]
    warnings = [each for each in findings if each.severity is Severity.WARNING]
    return [
        Gate(NO_ERRORS, final or not errors, True, len(errors), _says(errors, "errors")),
        Gate(NO_WARNINGS, not warnings, False, len(warnings), _says(warnings, "warnings")),
    ]


def _says(findings: Iterable[Finding], what: str) -> str:
    said = [each.says() for each in findings]
    return f"{len(said)} {what} in the messages" + "".join(f"; {each}" for each in said[:SHOWN])


def _unsubscribe(installation: Installation, run_id: str) -> Unsubscribe:
    settings = installation.settings

    def of_message(message_id: str) -> str:
        return next(message_urls(settings.public_url, settings.link_secret, LinkTo.UNSUBSCRIBE, run_id, [message_id]))

    return of_message
