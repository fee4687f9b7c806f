"""What a worker process does: `campaigns work RUN_ID`."""

import os
import sys

from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.core.errors import CampaignError
from campaign_pipeline.core.words import Channel
from campaign_pipeline.operations.sending import send_channel


def work(run_id: str) -> None:
    channel = Channel(run_id.split("--")[0].removeprefix("chaos-"))
    try:
        print(send_channel(open_installation(), run_id, channel, worker_name=f"worker {os.getpid()}"))  # noqa: T201
    except CampaignError as error:
        print(error)  # noqa: T201
        sys.exit(error.exit_code)


if __name__ == "__main__":
    work(sys.argv[1])
