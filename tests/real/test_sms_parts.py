"""Real SMS texts: encoding, units and parts as the reference has them, line by line."""

import csv
from pathlib import Path

from campaign_pipeline.messages.sms import sms_size


def test_every_real_sms_has_the_encoding_units_and_parts_of_the_reference(shared_data: Path) -> None:
    texts = (shared_data / "sms" / "sms_lines_1_2787.tsv").read_text(encoding="utf-8").split("\n")
    with (shared_data / "ref" / "sms_segments_ref.csv").open(encoding="utf-8", newline="") as file:
        reference = list(csv.DictReader(file))
    assert len(reference) == 2_787
    total = 0
    for row in reference:
        label, _, text = texts[int(row["line"]) - 1].partition("\t")
        assert label == row["label"]
        size = sms_size(text)
        expected = (row["encoding"], int(row["units"]), int(row["segments"]))
        assert (size.encoding, size.units, size.parts) == expected, f"line {row['line']}"
        total += size.parts
    assert total == 3_009
