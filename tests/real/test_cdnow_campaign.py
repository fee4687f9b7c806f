"""Real customers, end to end: the loyal ones of CDNOW get exactly one message each."""

import csv
from datetime import UTC, datetime
from pathlib import Path

from campaign_pipeline.contacts.behaviour import import_events
from campaign_pipeline.contacts.importing import import_contacts
from campaign_pipeline.contacts.mapping import ContactMapping, EventMapping, mapping_from_pairs
from campaign_pipeline.contacts.sources.files import SourceFile
from campaign_pipeline.core.paths import PROJECT_DIR
from campaign_pipeline.operations.apply import apply_folder
from campaign_pipeline.operations.segments import segment_questions
from tests.rehearsal import rehearsal

AS_OF = datetime(1998, 7, 1, tzinfo=UTC)
EXAMPLE = PROJECT_DIR / "docs" / "examples" / "cdnow"


def test_a_campaign_to_the_loyal_reaches_each_of_the_3594_once(shared_data: Path, tmp_path: Path) -> None:
    orders = shared_data / "rfm" / "CDNOW_master.txt"
    with rehearsal(tmp_path) as shop:
        installation = shop.installation
        contacts = import_contacts(
            installation.engine,
            _customers(orders, tmp_path / "customers.csv"),
            mapping_from_pairs(["id=customer_id", "email=email", "consent.email=granted"], ContactMapping),
            clock=installation.clock,
            rejects_path=tmp_path / "rejects.csv",
        )
        assert contacts.new == 23_570
        pairs = ["contact=customer_id", "event=purchase", "at=date", "at_format=%Y%m%d"]
        pairs += ["properties.amount=dollar_value", "types.amount=number", "properties.cds=number_of_cds"]
        purchases = import_events(
            installation.engine,
            installation.lake,
            SourceFile(orders, delimiter="whitespace"),
            mapping_from_pairs(pairs, EventMapping),
            clock=installation.clock,
            rejects_path=tmp_path / "rejects.csv",
        )
        assert purchases.new == 69_659
        apply_folder(installation, EXAMPLE)
        with segment_questions(installation, AS_OF) as questions:
            assert questions.preview("loyal").count == 3_594

        run_id = shop.run("loyalty", AS_OF)

        sends = shop.sends(run_id)
        assert sends.height == 3_594
        assert sends["message_id"].n_unique() == 3_594
        assert sends["to_hash"].n_unique() == 3_594
        assert shop.account(run_id).messages == {"accepted": 3_594}


def _customers(orders: Path, file: Path) -> Path:
    """The customers of the orders, each with an address in a reserved domain: the file has none."""
    ids = dict.fromkeys(line.split()[0] for line in orders.read_text().splitlines()[1:])
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["customer_id", "email"])
        writer.writerows((one, f"{one}@cdnow.example.com") for one in ids)
    return file
