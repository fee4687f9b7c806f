"""What Dagster loads (see workspace.yaml)."""

from campaign_pipeline.defs.repository import defs

__all__ = ["defs"]
