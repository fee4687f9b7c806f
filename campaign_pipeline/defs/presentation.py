"""How results are shown in Dagster: tables and pictures for marketers, numbers that plot themselves over time.

Nothing here may show personal data: metadata is kept by Dagster and read by everybody.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from campaign_pipeline.campaigns.gates import Gate
from campaign_pipeline.core.written import written

MAX_ROWS = 50

if TYPE_CHECKING:  # the checker wants to know of what; Dagster recognises the bare class only
    Materialised = dg.MaterializeResult[Any]
else:
    Materialised = dg.MaterializeResult


def table(frame: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """A markdown table of the frame's first rows; numbers as people write them."""
    head = "| " + " | ".join(frame.columns) + " |\n|" + " --- |" * frame.width + "\n"
    rows = "\n".join("| " + " | ".join(_cell(value) for value in row) + " |" for row in frame.head(MAX_ROWS).rows())
    more = f"\n\n… and {frame.height - MAX_ROWS} more rows" if frame.height > MAX_ROWS else ""
    return dg.MetadataValue.md(head + rows + more)


def _cell(value: object) -> str:
    return written(value).replace("|", "\\|").replace("\n", " ")


def picture(png_base64: str, description: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![{description}](data:image/png;base64,{png_base64})")


def code(text: str) -> str:
    """`text` as a markdown code block that nothing in it can end."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"


def check_specs(asset: str, names: Sequence[str], *, not_blocking: Sequence[str] = ()) -> list[dg.AssetCheckSpec]:
    return [dg.AssetCheckSpec(name, asset=asset, blocking=name not in not_blocking) for name in names]


def check_results(gates: Sequence[Gate]) -> list[dg.AssetCheckResult]:
    return [
        dg.AssetCheckResult(
            check_name=gate.name,
            passed=gate.passed,
            severity=dg.AssetCheckSeverity.ERROR if gate.blocking else dg.AssetCheckSeverity.WARN,
            description=gate.description,
            metadata={"found": gate.found},
        )
        for gate in gates
    ]
