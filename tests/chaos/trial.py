"""One trial: a run is planned, a storm goes over it, its doubts are settled, and the judge speaks before and after."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from campaign_pipeline.campaigns.definition import DOUBT_WINDOW
from campaign_pipeline.core.progress import Progress
from campaign_pipeline.core.words import Channel
from tests.chaos.judge import Bounds, Judgement, Policy, judge
from tests.chaos.mishaps import Mishap
from tests.chaos.planned import SIZE, plan_run
from tests.chaos.storm import Storm
from tests.chaos.world import Settled, World

WINDOW_PASSED = DOUBT_WINDOW + timedelta(hours=1)


@dataclass(frozen=True)
class Trial:
    storm: Storm
    before: Judgement  # once nothing was left to send; with the bounds of doubt that the accidents explain
    settled: Settled
    after: Judgement  # once the provider's events were taken in, it was asked about the rest, and on_doubt decided
    seconds: float  # of the storm

    @property
    def problems(self) -> tuple[str, ...]:
        return (*self.before.problems, *self.after.problems)


def run_trial(
    world: World,
    channel: Channel,
    messages: int,
    mishaps: Sequence[Mishap],
    *,
    seed: int,
    workers: int = 1,
    policy: Policy = "never_duplicate",
    seconds: float = 120.0,
    progress: Progress = lambda _done, _total: None,
) -> Trial:
    """Send `messages` through `mishaps` with `workers` at once, for at most `seconds`. TimeoutError beyond."""
    run_id = plan_run(world.installation, channel, messages, policy)
    storm = Storm(world, run_id, messages, Random(seed), workers=workers, seconds=seconds, progress=progress)
    started = time.monotonic()
    storm.rage(mishaps)
    took = time.monotonic() - started
    before = judge(world.evidence(run_id), bounds=_bounds(storm, channel))
    settled = world.settle(run_id)
    if policy == "never_lose":
        world.provider.calm()
        world.settle(run_id, WINDOW_PASSED)
        storm.go_on()
        world.settle(run_id, WINDOW_PASSED)
    return Trial(storm, before, settled, judge(world.evidence(run_id), policy), took)


def _bounds(storm: Storm, channel: Channel) -> Bounds:
    """A worker claims a batch for each request that it has under way; a request is a batch of e-mails, or one text."""
    settings = storm.world.installation.settings
    size: int = getattr(settings, SIZE[channel])
    answered_together = size if channel is Channel.EMAIL else 1
    at_once = settings.dispatch_requests * size
    # A provider that dies takes what is under way of each worker with it, and the count of its last faults.
    lost_with_it = 2 * storm.workers * storm.provider_kills * at_once
    unanswered = storm.world.provider.unanswered() * answered_together + lost_with_it
    return Bounds(silent=storm.deaths * at_once, unanswered=unanswered)
