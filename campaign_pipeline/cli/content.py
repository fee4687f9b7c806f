"""What messages take from elsewhere: `tables`, `coupons` and `media`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from campaign_pipeline.cli.output import AsJson, console, show_json, show_table
from campaign_pipeline.cli.setup import open_installation
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.messages.contact_tables import import_table, item_type, read_contact_table, summary
from campaign_pipeline.messages.coupons import import_codes, pool_counts
from campaign_pipeline.messages.media import Medium, load_media
from campaign_pipeline.operations.content import add_medium, release_codes
from campaign_pipeline.operations.installation import Installation

tables = typer.Typer(help="Many rows a contact, such as recommended items, for messages.", no_args_is_help=True)
coupons = typer.Typer(help="Codes of which every contact gets another one.", no_args_is_help=True)
media = typer.Typer(help="The images of messages.", no_args_is_help=True)

Rejects = Annotated[Path | None, typer.Option(help="Where rejected rows go, with line and reason.")]


@tables.command("import")
def import_contact_table(
    name: Annotated[str, typer.Argument(help="What templates call it: tables.NAME.")],
    file: Annotated[Path, typer.Argument(help="CSV, Parquet (.parquet) or JSON lines (.jsonl).")],
    key: Annotated[str, typer.Option(help="The column with the contact's external id, or contact id.")],
    columns: Annotated[str, typer.Option(help="Which other columns to take: a,b,c. All if not given.")] = "",
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Replace a contact table by the rows of a file, in the file's order for each contact.

    Example: campaigns tables import recommended items.csv --key customer_no --columns title,price
    """
    installation = open_installation()
    with reading(installation.engine) as connection:
        result = import_table(
            connection,
            installation.lake,
            name,
            file,
            key=key,
            columns=[column.strip() for column in columns.split(",") if column.strip()],
            rejects_path=rejects or _rejects(installation, file),
        )
    if as_json:
        show_json(asdict(result))
        return
    console.print(f"Table {name}: {result.taken:,} of {result.read:,} rows, of {result.contacts:,} contacts.")
    show_table("", [{"column": column, "type": kind} for column, kind in result.columns.items()])
    _tell_rejects(result.rejected, result.rejects_path)


@tables.command("list")
def list_contact_tables(as_json: AsJson = False) -> None:
    """Show the contact tables and how much they hold.

    Example: campaigns tables list
    """
    found = summary(open_installation().lake)
    if as_json:
        show_json(found)
    else:
        show_table("contact tables", found)


@tables.command("show")
def show_contact_table(
    name: str,
    contact: Annotated[str | None, typer.Option(help="A contact id: shows the contact's items.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the columns of a contact table, or the items of one contact.

    Example: campaigns tables show recommended --contact 5d1a4f0c2b7e98d3a6f01b2c
    """
    lake = open_installation().lake
    table = read_contact_table(lake, name)
    columns = [{"column": field.name, "type": str(field.dtype)} for field in item_type(lake, name).fields]
    data: dict[str, object] = {"table": name, "contacts": table.height, "columns": columns}
    if contact is not None:
        data["items"] = table.filter(pl.col("contact_id") == contact).explode("items")["items"].to_list()
    if as_json:
        show_json(data)
        return
    console.print(f"Table [bold]{name}[/]: items of {table.height:,} contacts.")
    show_table("columns", columns)
    if isinstance(items := data.get("items"), list):
        show_table(f"items of {contact}", items or pl.DataFrame(schema=[each["column"] for each in columns]))


@coupons.command("import")
def import_coupons(
    pool: Annotated[str, typer.Argument(help="What templates call it: coupons.POOL.")],
    file: Annotated[Path, typer.Argument(help="One code a line, or a CSV file.")],
    column: Annotated[str | None, typer.Option(help="The column with the codes, of a CSV file with several.")] = None,
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Add codes to a pool; those that it has already stay as they are.

    Example: campaigns coupons import spring codes.txt
    """
    installation = open_installation()
    path = rejects or _rejects(installation, file)
    with writing(installation.engine) as connection:
        result = import_codes(connection, pool, file, column=column, rejects_path=path)
    if as_json:
        show_json(asdict(result))
        return
    console.print(f"Pool {pool}: {result.new:,} new codes, {result.known:,} were there, of {result.read:,} lines.")
    _tell_rejects(result.rejected, result.rejects_path)


@coupons.command("list")
def list_coupons(as_json: AsJson = False) -> None:
    """Show how many codes of each pool are free, and how many each run handed out.

    Example: campaigns coupons list
    """
    with reading(open_installation().engine) as connection:
        counts = pool_counts(connection)
    free = pl.col("run_id").is_null()
    codes = pl.col("codes")
    pools = counts.group_by("pool", maintain_order=True).agg(
        free=codes.filter(free).sum(), handed_out=codes.filter(~free).sum()
    )
    by_run = counts.filter(~free).select("pool", "run_id", "codes")
    if as_json:
        show_json({"pools": pools, "by_run": by_run})
        return
    show_table("pools", pools)
    if not by_run.is_empty():
        show_table("handed out, by run", by_run)


@coupons.command("release")
def release_coupons(run_id: Annotated[str, typer.Argument(metavar="RUN")], as_json: AsJson = False) -> None:
    """Make the codes of an ended run free again, where no request with them went to a provider.

    Example: campaigns coupons release spring-sale--20260302t090000z
    """
    count = release_codes(open_installation(), run_id)
    if as_json:
        show_json({"run_id": run_id, "released": count})
    else:
        console.print(f"{count:,} codes of {run_id} are free again.")


@media.command("add")
def add_media_file(
    file: Annotated[Path, typer.Argument(help="PNG, JPEG, GIF or WebP.")],
    name: Annotated[str | None, typer.Option(help="What templates call it; the file's name if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Keep an image for templates, which name it as media('hero.png'); templates applied before keep what they have.

    Example: campaigns media add pictures/spring.png --name hero.png
    """
    installation = open_installation()
    change, medium = add_medium(installation, file, name or file.name)
    if as_json:
        show_json({"change": change, **_medium(installation, medium)})
    else:
        console.print(
            f"{change}: {medium.name}, version {medium.version}: {installation.settings.media_url(medium.file)}"
        )


@media.command("list")
def list_media(as_json: AsJson = False) -> None:
    """Show the images, each in its newest version, and their addresses.

    Example: campaigns media list
    """
    installation = open_installation()
    with reading(installation.engine) as connection:
        rows = [_medium(installation, medium) for medium in load_media(connection).values()]
    if as_json:
        show_json(rows)
    else:
        show_table("media", [{key: row[key] for key in ("name", "version", "type", "bytes", "url")} for row in rows])


def _medium(installation: Installation, medium: Medium) -> dict[str, object]:
    return {**asdict(medium), "url": installation.settings.media_url(medium.file)}


def _rejects(installation: Installation, file: Path) -> Path:
    return installation.settings.data_dir / "rejects" / f"{file.stem}-rejects.csv"


def _tell_rejects(count: int, path: Path | None) -> None:
    if path:
        console.print(f"{count:,} were rejected; line and reason: {path}")
