"""What tells machines from humans among opens and clicks: rules that are data, with a version.

They are applied when a day is built (sql/events/delivery_events.sql), so that building days anew with new rules changes
the figures, and never what was received.
"""

import re
from collections.abc import Iterable
from functools import cached_property, lru_cache
from importlib.metadata import version
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated

from crawleruseragents import is_crawler
from pydantic import AfterValidator, Field

from campaign_pipeline.core.definitions import Definition, read_definition
from campaign_pipeline.core.ids import digest
from campaign_pipeline.events.networks import IPV4_BITS, IPV6_BITS

FILE = Path(__file__).with_name("machine_rules.yaml")
REACH = 3600
"""Seconds before midnight that the rules look back: they never ask about more."""

LIBRARY = "crawler-user-agents"


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return text


def _network(text: str) -> str:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"is not a network such as 192.0.2.0/24: {error}") from None
    bits = IPV4_BITS if isinstance(network, IPv4Network) else IPV6_BITS
    if network.prefixlen > bits:
        raise ValueError(f"is smaller than /{bits}: of an address no more is kept")
    return str(network)


Seconds = Annotated[int, Field(ge=0, le=REACH)]


class TooFast(Definition):
    opened: Seconds = Field(description="Seconds from the delivery within which nobody opens; 0: no rule.")
    clicked: Seconds = Field(description="The same for clicks.")


class AllLinks(Definition):
    links: int = Field(ge=2, description="Different links of one message ...")
    within: Seconds = Field(description="... clicked within so many seconds of one another.")


class Agent(Definition):
    pattern: Annotated[str, AfterValidator(_pattern)] = Field(description="Found anywhere in it, in any case.")
    who: str


class Agents(Definition):
    crawlers: bool = Field(default=True, description=f"Those of the {LIBRARY} library are machines.")
    machines: tuple[Agent, ...] = ()
    people: tuple[Agent, ...] = Field(default=(), description="Are none, whatever else says so.")


class Network(Definition):
    network: Annotated[str, AfterValidator(_network)]
    who: str
    source: str = Field(description="Where its operator documents it.")


class MachineRules(Definition):
    version: str
    too_fast: TooFast
    all_links: AllLinks
    agents: Agents = Agents()
    networks: tuple[Network, ...] = ()

    @property
    def label(self) -> str:
        """Version, digest of the content, version of the library: another one wherever a day can come out different."""
        return f"{self.version} ({digest(self.model_dump_json())[:8]}, {LIBRARY} {version(LIBRARY)})"

    def machine_agents(self, user_agents: Iterable[str]) -> list[str]:
        """Those of `user_agents` that machines have."""
        return [agent for agent in user_agents if self._is_machine(agent)]

    def machine_networks(self, networks: Iterable[str]) -> list[str]:
        """Those of `networks` (networks.network_of) that lie in one of the rules'."""
        return [each for each in networks if self._is_listed(each)]

    def _is_machine(self, agent: str) -> bool:
        people, machines = self._patterns
        if people and people.search(agent):
            return False
        return bool(machines and machines.search(agent)) or (self.agents.crawlers and _is_crawler(agent))

    def _is_listed(self, text: str) -> bool:
        first = ip_network(text).network_address  # the rules' are no smaller
        return any(first in listed for listed in self._networks)

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
        return _any_of(self.agents.people), _any_of(self.agents.machines)

    @cached_property
    def _networks(self) -> list[IPv4Network | IPv6Network]:
        return [ip_network(each.network) for each in self.networks]


def _any_of(agents: Iterable[Agent]) -> re.Pattern[str] | None:
    patterns = [f"(?:{agent.pattern})" for agent in agents]
    return re.compile("|".join(patterns), re.IGNORECASE) if patterns else None


@lru_cache(maxsize=100_000)
def _is_crawler(agent: str) -> bool:
    return is_crawler(agent)


def machine_rules(file: str = "") -> MachineRules:
    """The rules of `file`, or those that are shipped; InvalidDefinition names what is wrong with it."""
    return read_definition(Path(file) if file else FILE, MachineRules)
