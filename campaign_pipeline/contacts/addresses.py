"""E-mail addresses and phone numbers in one written form, so that equal addresses are equal text.

Normalising costs up to 20 us a value, so every column is reduced to its distinct values first.
"""

import re
from functools import lru_cache

import phonenumbers
import polars as pl
from email_validator import EmailNotValidError, validate_email

from campaign_pipeline.contacts.phones import normalise_phone
from campaign_pipeline.core.errors import InvalidInput
from campaign_pipeline.core.words import Channel

ADDRESS_COLUMN = {
    Channel.EMAIL: "email",
    Channel.SMS: "phone",
    Channel.WHATSAPP: "phone",
    Channel.WEBHOOK: "external_id",
}
"""The column of contacts, and of the snapshot, that holds the address by which a channel reaches them."""

EXAMPLES = {
    Channel.EMAIL: "ann@example.com",
    Channel.SMS: "+12025550100",
    Channel.WHATSAPP: "+12025550100",
    Channel.WEBHOOK: "C-1001, an external id",
}
"""An address of each channel, as hints show it."""


def channel_address(channel: Channel, raw: str, region: str) -> str | None:
    """`raw` as the channel's addresses are written, or None if it is not one of them."""
    match ADDRESS_COLUMN[channel]:
        case "email":
            return normalise_email(raw)
        case "phone":
            return normalise_phone(raw, region)
        case _:
            return raw.strip() or None


def normalise_email(raw: str) -> str | None:
    """`raw` in the form it is sent to and compared by, or None if it is not an address.

    White space around it is dropped, the domain is in ASCII (IDNA), everything is lower case: mail systems do not
    tell `Ann@` from `ann@`, providers report events in lower case, and a suppression must not miss for its case. Dots
    and +tags stay, because they are part of the address for most providers.
    """
    address = raw.strip()
    local, _, domain = address.rpartition("@")
    if _PLAIN_LOCAL.fullmatch(local) and _PLAIN_DOMAIN.fullmatch(domain):  # nearly all: only the domain is in question
        known = _domain(domain.lower())
        return known and f"{local.lower()}@{known}"
    return _validated(address)


_PLAIN_LOCAL = re.compile(r"(?=.{1,64}$)[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*")
_PLAIN_DOMAIN = re.compile(r"[A-Za-z0-9.-]{1,180}")


@lru_cache(maxsize=10_000)
def _domain(domain: str) -> str | None:
    """The domain as it is in a valid address, or None: a million addresses have a few thousand domains."""
    found = _validated(f"a@{domain}")
    return found and found.removeprefix("a@")


def _validated(address: str) -> str | None:
    # RFC 2606 reserves .test and .invalid for what must never be delivered: rehearsals need them. The library has a
    # switch for .test only (test_environment), so that .invalid is checked under its name.
    reserved = address[:-8] + ".test" if address.lower().endswith(".invalid") else address
    try:
        found = validate_email(
            reserved, check_deliverability=False, allow_smtputf8=False, test_environment=True, strict=True
        )
    except EmailNotValidError:
        return None
    normalised = found.ascii_email
    if normalised is None or "." not in found.ascii_domain:
        return None
    if reserved is not address:
        normalised = normalised[: -len(".test")] + ".invalid"
    return normalised.lower()


def normalise_emails(raw: pl.Series) -> pl.Series:
    """A String column of e-mail addresses, each normalised; null where it is missing or not an address."""
    distinct = raw.drop_nulls().unique()
    normalised = [normalise_email(value) for value in distinct]
    return raw.replace_strict(distinct, pl.Series(normalised, dtype=pl.String), default=None, return_dtype=pl.String)


def normalise_phones(raw: pl.Series, region: str, regions: pl.Series | None = None) -> pl.Series:
    """A String column of phone numbers as E.164; null where it is missing or cannot be a number.

    `regions` may give each number's own region (null: `region`); numbers with a country code do not need one.
    """
    check_region(region)
    own = pl.Series([region], dtype=pl.String).new_from_index(0, len(raw)) if regions is None else regions
    pairs = pl.DataFrame({"raw": raw, "region": own.fill_null(region)})
    distinct = pairs.drop_nulls("raw").unique()
    normalised = [normalise_phone(value, near) for value, near in distinct.iter_rows()]
    known = distinct.with_columns(pl.Series("phone", normalised, dtype=pl.String))
    return pairs.join(known, on=["raw", "region"], how="left", maintain_order="left")["phone"]


def check_region(region: str) -> str:
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidInput(f"{region!r} is not a region of phone numbers", "Use an ISO 3166-1 code, such as US or AT.")
    return region
