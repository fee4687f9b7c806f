"""`python -m campaign_pipeline.cli` is `campaigns`."""

from campaign_pipeline.cli.app import main

main()
