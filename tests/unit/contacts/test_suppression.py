"""Suppression follows the address; every reason stands by itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import sqlalchemy as sa
from pydantic import SecretStr

from campaign_pipeline.contacts.suppression import (
    EVERY_CHANNEL,
    Suppression,
    active_suppressions,
    erased_among,
    lift,
    suppress,
    suppress_erased,
    suppressed_among,
)
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.tables import suppressions
from campaign_pipeline.core.words import Channel, SuppressionReason

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ANN = "ann@example.com"


def entry(
    address: str, reason: SuppressionReason, source: str, hours: int = 0, channel: str = Channel.EMAIL
) -> Suppression:
    return Suppression(channel, address, reason, source, NOW + timedelta(hours=hours))


def active(
    engine: sa.Engine, channel: Channel = Channel.EMAIL, topic: str = "marketing", hours: int = 0
) -> dict[str, str]:
    with reading(engine) as connection:
        at = NOW + timedelta(hours=hours)
        return dict(active_suppressions(connection, channel, topic=topic, at=at).iter_rows())


def test_a_replayed_event_adds_nothing_and_case_does_not_matter(database: sa.Engine) -> None:
    rows = [entry("Ann@Example.com", SuppressionReason.UNSUBSCRIBED, "event-1")]
    with writing(database) as connection:
        assert suppress(connection, rows) == 1
        assert suppress(connection, rows) == 0
        assert suppress(connection, []) == 0
    assert active(database) == {ANN: "unsubscribed"}
    assert active(database, Channel.SMS) == {}


def test_lifting_one_reason_leaves_the_others(database: sa.Engine) -> None:
    phone = "+12125550123"
    with writing(database) as connection:
        suppress(connection, [entry(phone, SuppressionReason.MANUAL, "operator-1", 0, Channel.SMS)])
        suppress(connection, [entry(phone, SuppressionReason.OPTED_OUT, "stop-1", 1, Channel.SMS)])
    assert active(database, Channel.SMS) == {phone: "opted_out"}
    with writing(database) as connection:
        assert lift(connection, [entry(phone, SuppressionReason.OPTED_OUT, "start-1", 2, Channel.SMS)]) == 1
    assert active(database, Channel.SMS) == {phone: "manual"}
    with writing(database) as connection:
        lift(connection, [entry(phone, SuppressionReason.MANUAL, "operator-2", 3, Channel.SMS)])
    assert active(database, Channel.SMS) == {}
    with writing(database) as connection:
        suppress(connection, [entry(phone, SuppressionReason.OPTED_OUT, "stop-2", 4, Channel.SMS)])
    assert active(database, Channel.SMS) == {phone: "opted_out"}


def test_an_address_is_suppressed_for_one_topic_or_one_channel_or_for_all(database: sa.Engine) -> None:
    phone = "+12125550123"
    manual = SuppressionReason.MANUAL
    with writing(database) as connection:
        suppress(
            connection, [replace(entry(ANN, manual, "1"), topic="newsletter"), entry("bob@example.com", manual, "1")]
        )
        suppress(connection, [entry(phone, manual, "1", channel=EVERY_CHANNEL)])
    assert active(database) == {"bob@example.com": "manual", phone: "manual"}
    assert active(database, topic="newsletter") == {ANN: "manual", "bob@example.com": "manual", phone: "manual"}
    assert active(database, Channel.SMS) == active(database, Channel.WHATSAPP) == {phone: "manual"}


def test_a_soft_bounce_expires_and_shortens_nothing(database: sa.Engine) -> None:
    soft = SuppressionReason.SOFT_BOUNCE
    with writing(database) as connection:
        suppress(connection, [replace(entry(ANN, soft, "1"), expires_at=NOW + timedelta(hours=72))])
        suppress(connection, [replace(entry(ANN, soft, "2", hours=1), expires_at=NOW + timedelta(hours=2))])
    assert active(database, hours=71) == {ANN: "soft_bounce"}
    assert active(database, hours=72) == {}
    with writing(database) as connection:
        suppress(connection, [entry(ANN, SuppressionReason.HARD_BOUNCE, "0", hours=-1)])
    assert active(database, hours=71) == {ANN: "soft_bounce"}, "the newest reason is told"
    assert active(database, hours=1000) == {ANN: "hard_bounce"}


SECRET = SecretStr("one")


def test_an_erased_address_is_known_again_but_not_kept(database: sa.Engine) -> None:
    addresses = pl.Series([ANN, "bob@example.com", None, ANN])
    with writing(database) as connection:
        assert erased_among(connection, addresses, SECRET).is_empty()
        both = [(Channel.EMAIL, "Ann@Example.com"), (Channel.SMS, "+12125550123"), (Channel.WHATSAPP, "+12125550123")]
        assert suppress_erased(connection, both, SECRET, NOW) == 2
        assert suppress_erased(connection, both, SECRET, NOW) == 0
        assert erased_among(connection, addresses, SECRET).rows() == [(ANN, "erased")]
        assert erased_among(connection, addresses, SecretStr("two")).is_empty()
        kept = connection.execute(sa.select(suppressions.c.address)).scalars().all()
        assert all(len(address) == 64 and set(address) <= set("0123456789abcdef") for address in kept)
    assert active(database) == {}, "hashes are not addresses"


def test_suppressed_among_says_of_each_address_once_why(database: sa.Engine) -> None:
    with writing(database) as connection:
        suppress(
            connection,
            [entry(ANN, SuppressionReason.MANUAL, "1"), entry("eve@example.com", SuppressionReason.MANUAL, "1")],
        )
        suppress_erased(connection, [(Channel.EMAIL, ANN), (Channel.EMAIL, "bob@example.com")], SECRET, NOW)
        among = suppressed_among(connection, Channel.EMAIL, pl.Series([ANN, "bob@example.com"]), at=NOW, secret=SECRET)
    assert among.rows() == [(ANN, "manual"), ("bob@example.com", "erased"), ("eve@example.com", "manual")]
