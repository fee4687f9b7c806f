"""Invented contacts and purchases for the demo: the same bytes for the same seed, on every machine.

All chance comes from `Random.random()`, the one method whose sequence Python promises to keep; arithmetic that
decides anything is on integers.
"""

import csv
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

from campaign_pipeline.demo.people_data import CATEGORIES, DOMAINS, LOCALES, PHONE_RANGES, Locale

DEMO_DATE = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""The time of the demo's runs; purchases end the day before and reach back 18 months."""
FIRST_PURCHASE = date(2024, 9, 2)
FIRST_JOINED = date(2022, 1, 1)

CONTACT_COLUMNS = (
    "Customer No", "First Name", "Last Name", "E-Mail", "Phone", "Locale", "Country", "Time Zone", "Joined",
    "Newsletter", "SMS Consent", "WhatsApp Consent", "Loyalty Points", "Tier", "Birthday",
)  # fmt: skip
PURCHASE_COLUMNS = ("Order No", "Customer No", "Ordered At", "Amount", "Category")

CONTACT_MAPPING = """\
# Which column of contacts.csv means what
id: Customer No
email: E-Mail
phone: Phone
first_name: First Name
last_name: Last Name
locale: Locale
country: Country
timezone: Time Zone
created_at: Joined
consent:
  email: Newsletter
  sms: SMS Consent
  whatsapp: WhatsApp Consent
  source: signup_form
attributes: rest
types: {birthday: date, loyalty_points: integer}
"""

PURCHASE_MAPPING = """\
# Which column of purchases.csv means what
id: Order No
contact: Customer No
event: purchase
at: Ordered At
properties: {amount: Amount, category: Category}
types: {amount: number, category: string}
"""

CONSENT_SHARES = {
    "email": (("yes", 78), ("no", 8), ("", 14)),
    "sms": (("yes", 52), ("no", 9), ("", 39)),
    "whatsapp": (("yes", 38), ("no", 6), ("", 56)),
}
"""What was said of each channel in 100 contacts: yes (granted), no (withdrawn), or nothing."""

INVALID_EMAILS = ("not-an-address", "anna@", "@example.com", "two words@example.com", "dots..dots@example.org")
HOUSEHOLD = 3
"""Of 1000 people, how many share an address with an earlier one: an e-mail and a phone each."""

T = TypeVar("T")


@dataclass(frozen=True)
class DemoFiles:
    contacts: Path
    purchases: Path
    contact_mapping: Path
    purchase_mapping: Path


def generate_people(folder: Path, count: int = 20_000, seed: int = 20260302) -> DemoFiles:
    """Write contacts.csv (`count` rows), purchases.csv (about three a contact) and their mappings into `folder`.

    Addresses can reach nobody: e-mails are in the domains of RFC 2606, phones in the ranges for fiction. About 1% of
    the e-mails are missing or not valid, and a few addresses are shared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = DemoFiles(
        folder / "contacts.csv",
        folder / "purchases.csv",
        folder / "contacts_mapping.yaml",
        folder / "purchases_mapping.yaml",
    )
    people = _People(seed)
    contacts = [people.person(number) for number in range(1, count + 1)]
    _write(files.contacts, CONTACT_COLUMNS, contacts)
    _write(files.purchases, PURCHASE_COLUMNS, people.purchases)
    files.contact_mapping.write_bytes(CONTACT_MAPPING.encode())
    files.purchase_mapping.write_bytes(PURCHASE_MAPPING.encode())
    return files


def _write(file: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


class _People:
    """Draws one person after the other; remembers which addresses are taken."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311  (reproducible on purpose)
        self.emails: dict[str, int] = {}
        self.known: dict[str, list[str]] = {"email": [], "phone": []}
        self.phones = {locale.country: self._numbers(locale) for locale in LOCALES}
        self.purchases: list[tuple[str, ...]] = []

    def person(self, number: int) -> tuple[str, ...]:
        customer = f"C{number:06d}"
        locale = self._weighted([(locale, locale.share) for locale in LOCALES])
        zone, area_codes = self._weighted([((zone, codes), weight) for zone, weight, codes in locale.places])
        first, last = self._one(locale.first_names), self._one(locale.last_names)
        days = (DEMO_DATE.date() - FIRST_JOINED).days
        joined = FIRST_JOINED + timedelta(days=self._below(days))
        spent = self._buy(customer, joined)
        points = spent // 100 + self._below(200)
        tier = "gold" if points >= 1_000 else "silver" if points >= 300 else "basic"
        birthday = date(1945, 1, 1) + timedelta(days=self._below(22_500))
        return (
            customer,
            first,
            last,
            self._email(first, last),
            self._phone(locale.country, area_codes),
            locale.tag,
            locale.country,
            zone,
            joined.isoformat(),
            *(self._weighted(shares) for shares in CONSENT_SHARES.values()),
            str(points),
            tier,
            birthday.isoformat(),
        )

    def _buy(self, customer: str, joined: date) -> int:
        """Add this customer's purchases; the sum in cents."""
        start = max(joined, FIRST_PURCHASE)
        seconds = (DEMO_DATE.date() - start).days * 86_400
        spent = 0
        while self.random.random() < 0.75:  # on average three
            category, low, high = self._weighted(
                [((name, low, high), weight) for name, weight, low, high in CATEGORIES]
            )
            amount = low + self._below(self._below(high - low) + 1)
            at = datetime(start.year, start.month, start.day, tzinfo=UTC) + timedelta(seconds=self._below(seconds))
            order = f"O{len(self.purchases) + 1:07d}"
            money = f"{amount // 100}.{amount % 100:02d}"
            self.purchases.append((order, customer, f"{at:%Y-%m-%dT%H:%M:%SZ}", money, category))
            spent += amount
        return spent

    def _email(self, first: str, last: str) -> str:
        if self._below(1000) < 10:
            return self._one(("", *INVALID_EMAILS))
        known = self.known["email"]
        if known and self._below(1000) < HOUSEHOLD:
            return self._one(known)
        name = f"{_ascii(first)}.{_ascii(last)}"
        domain = self._weighted(DOMAINS)
        taken = self.emails.get(f"{name}@{domain}", 0)
        self.emails[f"{name}@{domain}"] = taken + 1
        email = f"{name}{taken + 1}@{domain}" if taken else f"{name}@{domain}"
        known.append(email)
        return email

    def _phone(self, country: str, area_codes: Sequence[str]) -> str:
        if self._below(100) < 18:
            return ""
        known = self.known["phone"]
        if known and self._below(1000) < HOUSEHOLD:
            return self._one(known)
        if country == "US":
            free = self.phones[country].get(self._one(area_codes), [])
        else:
            free = self.phones[country].get("", [])
        if not free:
            return ""
        phone = free.pop(self._below(len(free)))
        known.append(_international(phone, country))
        return phone

    def _numbers(self, locale: Locale) -> dict[str, list[str]]:
        """The reserved numbers of a country as people write them there, by area code in the US."""
        if locale.country == "US":
            codes = [code for _, _, codes in locale.places for code in codes]
            return {code: [f"({code}) 555-{line:04d}" for line in range(100, 200)] for code in codes}
        ranges = PHONE_RANGES.get(locale.country, ())
        return {"": [f"{start}{line:0{digits}d}" for start, digits in ranges for line in range(10**digits)]}

    def _below(self, bound: int) -> int:
        return int(self.random.random() * bound)

    def _one(self, values: Sequence[T]) -> T:
        return values[self._below(len(values))]

    def _weighted(self, values: Sequence[tuple[T, int]]) -> T:
        left = self._below(sum(weight for _, weight in values))
        for value, weight in values:
            left -= weight
            if left < 0:
                return value
        raise AssertionError("the weights add up")


_CALLING_CODES = {"US": "+1 ", "GB": "+44 ", "DE": "+49 ", "FR": "+33 "}


def _international(phone: str, country: str) -> str:
    """The same number as it is written from abroad, since a household may span countries."""
    return _CALLING_CODES[country] + phone.removeprefix("0")


_SPELT = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "œ": "oe", "ı": "i"}
)


def _ascii(name: str) -> str:
    """A name as people write it in an e-mail address: müller -> mueller, O'Brien -> obrien."""
    plain = unicodedata.normalize("NFKD", name.translate(_SPELT)).encode("ascii", "ignore").decode().lower()
    return "".join(letter for letter in plain if letter.isalnum() or letter == "-").strip("-")
