"""Charts of segments; drawn like those of charts.py."""

from typing import Any

import polars as pl


def size_chart(history: pl.DataFrame) -> Any:
    """Members of one segment over time, and how many entered and left at each evaluation.

    `history`: as_of (Datetime), members, entered, left (Int64), one row an evaluation, in any order; at least one.
    """
    import altair as alt

    rows = history.sort("as_of").select(
        "members", "entered", left=-pl.col("left"), at=pl.col("as_of").dt.convert_time_zone("UTC")
    )
    moved = rows.unpivot(["entered", "left"], index="at", variable_name="change", value_name="contacts")
    time = alt.X("at:T", title=None, scale=alt.Scale(type="utc"))
    contacts = alt.Axis(format=",d", tickMinStep=1)
    size = (
        alt.Chart(rows)
        .mark_line(interpolate="step-after", point=True)
        .encode(x=time, y=alt.Y("members:Q", title="members", axis=contacts, scale=alt.Scale(zero=False)))
        .properties(width=560, height=140)
    )
    changes = (
        alt.Chart(moved)
        .mark_bar(size=5)
        .encode(
            x=time,
            y=alt.Y("contacts:Q", title="entered, left", axis=contacts),
            color=alt.Color("change:N", title=None),
        )
        .properties(width=560, height=80)
    )
    return alt.vconcat(size, changes).resolve_scale(x="shared")
