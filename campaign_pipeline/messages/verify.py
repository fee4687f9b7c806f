"""A sample of every run is rendered a second time, one by one by Jinja2 alone, and compared with what will be sent."""

import polars as pl

from campaign_pipeline.campaigns.gates import Gate

SAMPLED = 50
GATE = "as_jinja2_renders"


def sample_of(planned: pl.DataFrame, count: int = SAMPLED) -> pl.DataFrame:
    """About `count` rows of the planned audience, spread evenly over every variant and language."""
    each = -(-count // max(planned.select("variant", "locale").n_unique(), 1))
    place, size = pl.int_range(pl.len()), pl.len()
    return planned.filter(((place * each) % size < each).over("variant", "locale"))


def verify_sample(sample: pl.DataFrame, messages: pl.DataFrame) -> Gate:
    """Whether `messages` (message_id, fragments) say what the sample does (the same columns), to the letter."""
    together = sample.join(messages, on="message_id", how="left", suffix="_sent", maintain_order="left")
    wrong = together.filter(pl.col("fragments").ne_missing(pl.col("fragments_sent")))["message_id"].to_list()
    said = f"{sample.height} messages are what Jinja2 alone makes of them"
    if wrong:
        said = (
            f"{len(wrong)} of {sample.height} messages are not what Jinja2 alone makes of them: {', '.join(wrong[:5])}"
        )
    return Gate(GATE, not wrong, blocking=True, found=len(wrong), description=said)


def final() -> Gate:
    """For messages that are planned: they were compared before, and templates may have changed since."""
    return Gate(GATE, passed=True, blocking=True, found=0, description="The messages are final: compared when rendered")
