"""The command line: `campaigns`. Each command opens the installation, calls one operation and shows what came of it."""

from campaign_pipeline.cli.app import main

__all__ = ["main"]
