"""What dispatch promises, counted anew from plan, batch file and ledger: nothing sent twice, nothing lost."""

import polars as pl

from campaign_pipeline.core.words import Outcome
from campaign_pipeline.dispatch.account import WANTED
from campaign_pipeline.dispatch.ledger import Ledger
from campaign_pipeline.dispatch.states import MAY_HAVE_ARRIVED, attempts


def sent_twice(messages: pl.DataFrame, held: Ledger) -> pl.Series:
    """Numbers of the messages of which two attempts may have arrived, though neither policy nor person wanted that.

    `messages`: message_no, batch_no. A claim without outcome may have arrived; one that a policy or a person gave up,
    so that another could follow, was wanted.
    """
    tries = attempts(messages, held).filter(pl.col("attempt").is_not_null())
    may_have_arrived = pl.col("outcome").fill_null(Outcome.IN_DOUBT.value).is_in(list(MAY_HAVE_ARRIVED))
    given_up = held.outcomes.filter(WANTED).select("message_no", "attempt")
    return (
        tries.filter(may_have_arrived)
        .join(given_up, on=["message_no", "attempt"], how="anti")
        .filter(pl.col("message_no").is_duplicated())
        .get_column("message_no")
        .unique()
        .sort()
    )
