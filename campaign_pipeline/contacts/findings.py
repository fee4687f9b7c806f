"""What an import noticed and took in all the same, with the places to look at."""

from dataclasses import dataclass, field

import polars as pl

from campaign_pipeline.contacts.sources.table import LINE
from campaign_pipeline.contacts.typos import doubtful_domains

EXAMPLES = 5
"""Lines that are named for each kind."""


@dataclass
class Findings:
    """`counts`: cells or rows by kind, such as {"invalid_email": 3}. `examples`: the first of them, `line 7` each; it
    may say more, but nothing that names a person."""

    counts: dict[str, int] = field(default_factory=dict[str, int])
    examples: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def add(self, kind: str, lines: pl.Series, said: pl.Series | None = None) -> None:
        """Note the rows on `lines`; `said` is what to say about each."""
        if lines.is_empty():
            return
        self.counts[kind] = self.counts.get(kind, 0) + len(lines)
        texts = [f"line {line}" for line in lines.head(EXAMPLES)]
        if said is not None:
            texts = [f"{text}: {more}" for text, more in zip(texts, said.head(EXAMPLES), strict=True)]
        self.examples[kind] = [*self.examples.get(kind, []), *texts][:EXAMPLES]

    def invalid(self, what: str, lines: pl.Series, raw: pl.Series, value: pl.Series) -> pl.Series:
        """`value`, after noting the cells that hold something which is none."""
        self.add(f"invalid_{what}", lines.filter(raw.is_not_null() & value.is_null()))
        return value

    def doubtful_emails(self, lines: pl.Series, emails: pl.Series) -> None:
        """Note addresses whose domain is probably wrong."""
        rows = pl.DataFrame({LINE: lines, "domain": emails.str.split_exact("@", 1).struct.field("field_1")})
        doubts = doubtful_domains(rows["domain"].drop_nulls().unique())
        found = rows.join(doubts, on="domain", maintain_order="left")
        said = pl.concat_str("domain", pl.lit(", perhaps "), "meant", ignore_nulls=False).fill_null(pl.col("domain"))
        for (doubt,), those in found.with_columns(said.alias("said")).group_by("doubt", maintain_order=True):
            self.add(str(doubt), those[LINE], those["said"])
