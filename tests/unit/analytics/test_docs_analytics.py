"""docs/analytics.md: its queries run on the warehouse, and no table is left out."""

import re

import duckdb

from campaign_pipeline.analytics.warehouse import VIEWS, rebuild_warehouse
from campaign_pipeline.core.paths import PROJECT_DIR

PAGE = (PROJECT_DIR / "docs" / "analytics.md").read_text(encoding="utf-8")


def test_its_queries_run(settings, lake) -> None:
    rebuild_warehouse(settings, lake)
    queries = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(queries) >= 5
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
        for query in queries:
            connection.execute(query).fetchall()


def test_every_table_is_named() -> None:
    assert [view for view in VIEWS if f"`{view}`" not in PAGE and view != "audience"] == []
