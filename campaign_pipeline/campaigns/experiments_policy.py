"""The team's policy for experiments: whom no campaign reaches, and the layers that keep experiments apart."""

from datetime import datetime
from pathlib import Path

from pydantic import Field

from campaign_pipeline.campaigns.experiment import Period
from campaign_pipeline.campaigns.names import Name
from campaign_pipeline.contacts.consent import MARKETING
from campaign_pipeline.core.definitions import Definition, read_definition


class GlobalHoldout(Period):
    """Contacts that get nothing of these purposes from any campaign: what marketing as a whole does is seen by them."""

    percent: float = Field(ge=0, le=50, allow_inf_nan=False)
    seed: str = Field(pattern="^[A-Za-z0-9_.-]{1,50}$", description="Who they are; another seed draws others.")
    purposes: tuple[str, ...] = Field((MARKETING,), min_length=1, description="Of campaigns; all others are exempt.")

    def holds_for(self, purpose: str, as_of: datetime) -> bool:
        """Whether a run of this purpose and time leaves them out."""
        return purpose in self.purposes and self.holds_at(as_of)


class ExperimentsPolicy(Definition):
    global_holdout: GlobalHoldout | None = None
    layers: dict[Name, str] = Field(default_factory=dict, description="Name of each layer -> what it is for.")


NO_POLICY = ExperimentsPolicy()


def read_experiments_policy(file: Path) -> ExperimentsPolicy:
    return read_definition(file, ExperimentsPolicy)
