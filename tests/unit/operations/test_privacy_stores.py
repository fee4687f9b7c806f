"""Nothing can be added that holds personal data without being named where export and erasure look."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign_pipeline.core.tables import metadata
from campaign_pipeline.operations.privacy import lake, tables

PACKAGE = Path(__file__).parents[3] / "campaign_pipeline"


def written_assets() -> Iterator[tuple[str, str]]:
    """(file, asset) of each `lake.write(frame, asset, ...)`, `staged`, `write_by`; the asset is text or a constant."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr not in ("write", "staged", "write_by"):
                continue
            if ast.unparse(node.func.value).split(".")[-1] != "lake" or len(node.args) < 2:
                continue
            asset = node.args[1]
            match asset:
                case ast.Constant(value=str(name)):
                    yield path.name, name
                case ast.Name(id=name):
                    yield path.name, getattr(importlib.import_module(module), name)
                case ast.Attribute(attr="name") if path.name == "lake.py":
                    continue  # the erasure itself, which goes through the list
                case _:
                    pytest.fail(f"{path}: which asset is written is not plain: {ast.unparse(asset)}")


def test_every_table_is_named_once() -> None:
    personal = [rows.name for rows in tables.PERSONAL]
    assert sorted([*personal, *tables.NOT_PERSONAL]) == sorted(metadata.tables)


def test_every_lake_asset_is_named_once() -> None:
    written = {asset for _, asset in written_assets()}
    assert len(written) > 15
    named = [*(asset.name for asset in lake.PERSONAL), *lake.NOT_PERSONAL, *lake.DROPPED]
    assert len(named) == len(set(named))
    assert written - set(named) == set()
    assert set(named) - written == {"segment_features"}  # a DuckDB file, written by itself


def test_tables_with_a_contact_id_are_personal() -> None:
    with_contact = {table.name for table in metadata.tables.values() if "contact_id" in table.c}
    assert with_contact <= {rows.name for rows in tables.PERSONAL}
