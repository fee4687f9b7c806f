"""What a worker process does, once it is forked: `campaigns work RUN_ID`."""

import sys

from campaign_pipeline.cli import main


def work(run_id: str) -> None:
    sys.argv = ["campaigns", "work", run_id]
    main()
