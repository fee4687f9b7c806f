"""The frozen audience: everybody once, with the first reason that holds, and the public hash for the rest."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaign_pipeline.campaigns.assignment import bucket_ranges, choose_variants
from campaign_pipeline.campaigns.audience import SCHEMA, counts, freeze, with_contacts
from campaign_pipeline.campaigns.store import Run
from campaign_pipeline.core.hashing import buckets
from campaign_pipeline.core.words import AudienceStatus

TWO = [{"name": "plain", "weight": 1, "template": "p"}, {"name": "emoji", "weight": 3, "template": "e"}]
CONTACT = {
    "contact_id": pl.String,
    "email": pl.String,
    "phone": pl.String,
    "locale": pl.String,
    "timezone": pl.String,
    "points": pl.Int64,
}

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)

MakeRun = Callable[..., Run]
Row = tuple[str, str | None]


def snapshot(rows: Sequence[Row], **columns: Any) -> pl.DataFrame:
    """Contacts (contact_id, email); more columns as constants."""
    data = [(name, email, f"+1{name}", "de-AT", "Europe/Vienna", 7) for name, email in rows]
    return pl.DataFrame(data, schema=CONTACT, orient="row").with_columns(**{k: pl.lit(v) for k, v in columns.items()})


def frozen(
    run: Run,
    rows: Sequence[Row],
    *,
    members: Sequence[str] | None = None,
    consented: Sequence[str] | None = None,
    suppressed: dict[str, str] | None = None,
    contacts: pl.DataFrame | None = None,
    capped: dict[str, str] | None = None,
) -> pl.DataFrame:
    names = [name for name, _ in rows]
    contacts = snapshot(rows) if contacts is None else contacts
    decided = freeze(
        run,
        pl.DataFrame({"contact_id": names if members is None else members}, schema={"contact_id": pl.String}),
        contacts,
        pl.Series("contact_id", names if consented is None else consented, dtype=pl.String),
        pl.DataFrame(
            list((suppressed or {}).items()), schema={"address": pl.String, "reason": pl.String}, orient="row"
        ),
        capped=pl.DataFrame(
            list((capped or {}).items()), schema={"contact_id": pl.String, "reason": pl.String}, orient="row"
        ),
    )
    return with_contacts(decided, contacts.lazy()).collect()


def statuses(audience: pl.DataFrame) -> dict[str, str]:
    return dict(audience.select("contact_id", "status").iter_rows())


def test_a_planned_contact_has_variant_address_time_and_all_that_is_known(make_run: MakeRun) -> None:
    run = make_run()
    audience = frozen(run, [("a", "a@example.com")])
    assert dict(audience.drop("contact").schema) == SCHEMA
    assert audience.row(0, named=True) == {
        "contact_id": "a",
        "status": "planned",
        "reason": "",
        "variant": "plain",
        "address": "a@example.com",
        "send_at": run.as_of,
        "locale": "de-AT",
        "timezone": "Europe/Vienna",
        "wanted_at": run.as_of,
        "window": "",
        "first_run_id": None,
        "reassigned_from": None,
        "contact": {
            "contact_id": "a",
            "email": "a@example.com",
            "phone": "+1a",
            "locale": "de-AT",
            "timezone": "Europe/Vienna",
            "points": 7,
        },
    }


def test_sms_are_planned_for_the_next_hour_that_is_allowed(make_run: MakeRun) -> None:
    rows = [("2125550100", "a@x"), ("4155550100", "b@x"), ("2025550100", "c@x")]
    audience = frozen(make_run(channel="sms"), rows, consented=["2125550100", "4155550100"])
    vienna = "Mo-Su 08:00-21:00 @ Europe/Vienna"  # the contacts' own time zone, and the rule of their numbers
    assert audience.select("contact_id", "wanted_at", "send_at", "window").rows() == [
        ("2025550100", None, None, None),
        ("2125550100", AS_OF, AS_OF, vienna),
        ("4155550100", AS_OF, AS_OF, vienna),
    ]
    later = frozen(make_run(AS_OF.replace(hour=22), channel="sms"), rows[:1])
    assert later.select("wanted_at", "send_at").row(0) == (AS_OF.replace(hour=22), AS_OF.replace(day=3, hour=7))


def test_each_reason_to_be_left_out(make_run: MakeRun) -> None:
    rows = [("none", None), ("stop", "s@x"), ("quiet", "q@x"), ("twin1", "t@x"), ("twin2", "t@x"), ("fine", "f@x")]
    audience = frozen(
        make_run(),
        rows,
        members=[*(name for name, _ in rows), "stranger"],
        consented=["none", "stop", "twin1", "twin2", "fine", "stranger"],
        suppressed={"s@x": "complained"},
    )
    assert statuses(audience) == {
        "fine": AudienceStatus.PLANNED,
        "none": AudienceStatus.NO_ADDRESS,
        "quiet": AudienceStatus.NO_CONSENT,
        "stop": AudienceStatus.SUPPRESSED,
        "stranger": AudienceStatus.NO_ADDRESS,  # no row in the snapshot
        "twin1": AudienceStatus.PLANNED,
        "twin2": AudienceStatus.DUPLICATE_ADDRESS,
    }
    assert dict(audience.select("contact_id", "reason").filter(pl.col("reason") != "").iter_rows()) == {
        "stop": "complained"
    }
    left_out = audience.filter(pl.col("status") != AudienceStatus.PLANNED)
    assert left_out.select(pl.col("variant", "address", "send_at").is_null().all()).row(0) == (True, True, True)


def test_everybody_in_the_holdout(make_run: MakeRun) -> None:
    """A contact who could not be sent to anyway is not held out."""
    rows = [(f"c{n}", f"{n}@x" if n % 2 else None) for n in range(200)]
    audience = frozen(make_run(holdout=50), rows)
    places = buckets("spring-sale:holdout", [name for name, _ in rows])
    expected = {
        name: AudienceStatus.NO_ADDRESS
        if email is None
        else AudienceStatus.HELD_OUT
        if place < 0.5
        else AudienceStatus.PLANNED
        for (name, email), place in zip(rows, places, strict=True)
    }
    assert statuses(audience) == expected
    held_out = audience.filter(pl.col("status") == AudienceStatus.HELD_OUT)
    assert 30 < held_out.height < 70
    assert held_out.select(pl.col("variant", "address", "send_at").is_null().all()).row(0) == (True, True, True)


def test_variants_are_those_of_the_public_hash(make_run: MakeRun) -> None:
    names = sorted(f"c{n}" for n in range(500))
    audience = frozen(make_run(variants=TWO), [(name, f"{name}@x") for name in names])
    chosen = choose_variants(buckets("spring-sale", names), bucket_ranges([0.25, 0.75]))
    assert audience["variant"].to_list() == [["plain", "emoji"][index] for index in chosen]
    assert audience["variant"].value_counts(sort=True)["count"].to_list() == pytest.approx([375, 125], abs=40)


def test_the_last_bucket_has_a_variant_whatever_the_rounding(make_run: MakeRun) -> None:
    thirds = [{"name": f"v{n}", "weight": 0.1, "template": "t"} for n in range(3)]
    audience = frozen(make_run(variants=thirds), [(f"c{n}", f"{n}@x") for n in range(5_000)])
    assert audience["variant"].null_count() == 0


def test_the_holdout_is_independent_of_the_variant(make_run: MakeRun) -> None:
    rows = [(f"c{n}", f"{n}@x") for n in range(4_000)]
    sent = frozen(make_run(variants=TWO, holdout=50), rows).filter(pl.col("status") == AudienceStatus.PLANNED)
    assert sent.filter(pl.col("variant") == "plain").height / sent.height == pytest.approx(0.25, abs=0.04)


REASONS = ("no_address", "suppressed", "no_consent", "duplicate_address")


@pytest.mark.parametrize("first", range(4))
def test_the_first_reason_that_holds_is_given(make_run: MakeRun, first: int) -> None:
    """A contact to whom this reason and all later ones apply, beside one whose address it shares."""
    email = None if first == 0 else "b@x"
    audience = frozen(
        make_run(holdout=50),
        [("a", "b@x"), ("b", email)],
        consented=["a"] if first <= 2 else ["a", "b"],
        suppressed={"b@x": "manual"} if first <= 1 else {},
    )
    assert statuses(audience)["b"] == REASONS[first]


def test_suppression_follows_the_address_to_every_contact_that_has_it(make_run: MakeRun) -> None:
    rows = [("a", "s@x"), ("b", "s@x"), ("c", "c@x")]
    audience = frozen(make_run(), rows, suppressed={"s@x": "unsubscribed", "other@x": "manual"})
    assert statuses(audience) == {"a": "suppressed", "b": "suppressed", "c": "planned"}


def test_an_address_goes_to_the_next_contact_if_the_first_did_not_consent(make_run: MakeRun) -> None:
    audience = frozen(make_run(), [("a", "t@x"), ("b", "t@x"), ("c", "t@x")], consented=["b", "c"])
    assert statuses(audience) == {"a": "no_consent", "b": "planned", "c": "duplicate_address"}


def test_who_shares_an_address_with_a_held_out_contact_gets_nothing(make_run: MakeRun) -> None:
    names = [f"c{n}" for n in range(50)]
    place = dict(zip(names, buckets("spring-sale:holdout", names), strict=True))
    held, free = min(place, key=lambda name: place[name]), max(place, key=lambda name: place[name])
    rows = [(held, "t@x"), (free, "t@x")] if held < free else [(free, "u@x"), (held, "u@x")]
    audience = statuses(frozen(make_run(holdout=20), rows))
    first, second = sorted([held, free])
    assert audience[second] == "duplicate_address"
    assert audience[first] == ("held_out" if first == held else "planned")


@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
def test_other_channels_reach_the_phone(make_run: MakeRun, channel: str) -> None:
    audience = frozen(make_run(channel=channel), [("5", None)], suppressed={"5@x": "manual"})
    assert audience.select("status", "address").row(0) == ("planned", "+15")


@pytest.mark.parametrize("name", ["why", "reason", "status", "variant", "address", "contact", "in_holdout", "send_at"])
def test_an_attribute_may_have_any_name(make_run: MakeRun, name: str) -> None:
    """Attributes are named by the user: they must not be taken for what the freeze works out."""
    contacts = snapshot([("a", "a@x")], **{name: "mine"})
    row = frozen(make_run(), [("a", "a@x")], contacts=contacts).row(0, named=True)
    assert (row["status"], row["reason"], row["variant"], row["address"]) == ("planned", "", "plain", "a@x")
    assert row["contact"][name] == "mine"


def test_an_empty_segment_has_an_empty_audience(make_run: MakeRun) -> None:
    audience = frozen(make_run(variants=TWO, holdout=10), [])
    assert audience.height == 0
    assert dict(audience.drop("contact").schema) == SCHEMA
    assert counts(audience).height == 0


def test_counts_are_by_status_reason_and_variant(make_run: MakeRun) -> None:
    rows = [("a", None), ("b", None), ("c", "c@x"), ("d", "d@x"), ("e", "e@x")]
    audience = frozen(make_run(), rows, suppressed={"c@x": "manual"})
    assert counts(audience).rows() == [
        ("no_address", "", None, 2),
        ("planned", "", "plain", 2),
        ("suppressed", "manual", None, 1),
    ]


contact = st.tuples(
    st.sampled_from([f"c{n}" for n in range(15)]),
    st.sampled_from([None, "a@x", "b@x", "c@x", "d@x"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data(), rows=st.lists(contact, max_size=15, unique_by=lambda row: row[0]))
def test_everybody_is_there_once_whatever_the_order_of_the_inputs(
    make_run: MakeRun, data: st.DataObject, rows: list[Row]
) -> None:
    run = make_run(variants=TWO, holdout=30)
    names = [name for name, _ in rows]
    members = data.draw(st.lists(st.sampled_from([*names, "stranger"]), max_size=20))
    consented = data.draw(st.lists(st.sampled_from([*names, "stranger"]), unique=True))
    stopped = data.draw(st.lists(st.sampled_from(["a@x", "b@x"]), unique=True))
    suppressed = dict.fromkeys(stopped, "manual")
    audience = frozen(run, rows, members=members, consented=consented, suppressed=suppressed)
    assert audience["contact_id"].to_list() == sorted(set(members))
    assert set(audience["status"]) <= set(AudienceStatus)
    planned = audience.filter(pl.col("status") == AudienceStatus.PLANNED)
    assert planned["address"].n_unique() == planned.height
    assert not set(planned["address"]) & set(stopped)
    assert set(planned["contact_id"]) <= set(consented)
    assert (audience["variant"].is_not_null() == (audience["status"] == "planned")).all()

    again = frozen(
        run,
        data.draw(st.permutations(rows)),
        members=data.draw(st.permutations(members)),
        consented=data.draw(st.permutations(consented)),
        suppressed=dict.fromkeys(data.draw(st.permutations(stopped)), "manual"),
    )
    assert again.equals(audience)


def test_who_is_capped_is_left_out_before_holdout_and_variants(make_run: MakeRun) -> None:
    run = make_run(holdout=50, variants=TWO)
    rows = [(f"c{number}", f"c{number}@example.com") for number in range(200)]
    without = frozen(run, rows)
    audience = frozen(run, rows, capped={f"c{number}": "3 within 7d" for number in range(0, 200, 2)})
    of_capped = audience.filter(pl.col("status") == "capped")
    assert set(of_capped["contact_id"]) == {f"c{number}" for number in range(0, 200, 2)}
    assert of_capped.select("reason", "variant", "address").unique().rows() == [("3 within 7d", None, None)]
    rest = pl.col("status") != "capped"
    kept = audience.filter(rest)
    assert kept.equals(without.join(kept, on="contact_id", how="semi"))  # nobody else's place changes


def test_other_reasons_come_before_a_cap(make_run: MakeRun) -> None:
    rows = [("a", None), ("b", "b@example.com"), ("c", "c@example.com"), ("d", "d@example.com")]
    audience = frozen(
        make_run(),
        rows,
        consented=["a", "b", "d"],
        suppressed={"b@example.com": "manual"},
        capped=dict.fromkeys("abcd", "1 within 1d"),
    )
    found = {row["contact_id"]: (row["status"], row["reason"]) for row in audience.to_dicts()}
    assert found == {
        "a": ("no_address", ""),
        "b": ("suppressed", "manual"),
        "c": ("no_consent", ""),
        "d": ("capped", "1 within 1d"),
    }
