"""What a run does with the web links of its e-mails' HTML: parameters for web analytics, and our own redirect.

Both change the template before it is cut, so that they are part of the skeleton. Links that do not begin with http://
or https:// (unsubscribe_url and the like), the text part, SMS and WhatsApp stay as their author wrote them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from campaign_pipeline.campaigns.definition import Campaign, Utm
from campaign_pipeline.core.words import Channel
from campaign_pipeline.messages.authoring.links import rewrite_links, with_parameters
from campaign_pipeline.messages.clicks import ClickTargets, click_base
from campaign_pipeline.messages.definition import Template, Texts, environment_of
from campaign_pipeline.messages.run_context import CLICK_MESSAGE, CLICK_TARGETS, RunContext


@dataclass(frozen=True)
class LinkRules:
    """`utm`: parameters that web links get; `redirect`: they lead through our own redirect, which keeps the click."""

    utm: Utm | None = None
    redirect: bool = False


AS_WRITTEN = LinkRules()


def link_rules(campaign: Campaign) -> LinkRules:
    return LinkRules(campaign.utm, campaign.track_clicks == "own")


def with_utm(template: Template, rules: LinkRules, channel: Channel, campaign: str, variant: str) -> Template:
    """`template` with the parameters of one variant on its web links; one that a link has already is kept."""
    if rules.utm is None:
        return template
    parameters: Mapping[str, str] = rules.utm.parameters(channel, campaign, variant)

    def add(address: str) -> str:
        return with_parameters(address, parameters)

    return _changed(template, add, add)


def with_redirect(template: Template, rules: LinkRules, context: RunContext) -> Template:
    """`template` whose web links lead through our redirect."""
    if not rules.redirect:
        return template
    targets = ClickTargets(context.link_secret, context.run_id)
    begin = f"{click_base(context.public_url)}{{{{ {CLICK_MESSAGE} }}}}."

    def constant(address: str) -> str:
        return f"{begin}{targets.sign(address)}"

    def varying(address: str) -> str:
        return f"{begin}{{% filter click_target({CLICK_TARGETS}) %}}{address}{{% endfilter %}}"

    return _changed(template, constant, varying)


def with_rules(template: Template, rules: LinkRules, context: RunContext, variant: str) -> Template:
    """`template` as a run sends it in one variant."""
    tagged = with_utm(template, rules, context.channel, context.campaign, variant)
    return with_redirect(tagged, rules, context)


def _changed(template: Template, constant: Callable[[str], str], varying: Callable[[str], str]) -> Template:
    def changed(texts: Texts) -> dict[str, str]:
        if texts.html is None:
            return {}
        return {"html": rewrite_links(environment_of("html"), texts.html, constant, varying)}

    locales = {tag: texts.model_copy(update=changed(texts)) for tag, texts in template.locales.items()}
    return template.model_copy(update={"locales": locales, **changed(template)})
