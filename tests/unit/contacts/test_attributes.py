"""The catalogue of attributes: what is new is added, and a type never changes by the way."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from campaign_pipeline.contacts.attributes import catalogue, declare_attributes, describe, known_attributes, retype
from campaign_pipeline.contacts.values import ValueType
from campaign_pipeline.core.database import reading, writing
from campaign_pipeline.core.errors import InvalidInput, NotFound
from campaign_pipeline.core.tables import contacts

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def declare(engine: sa.Engine, by: str = "import-1", **types: ValueType) -> None:
    with writing(engine) as connection:
        declare_attributes(connection, types, declared_by=by, at=NOW)


def known(engine: sa.Engine) -> dict[str, ValueType]:
    with reading(engine) as connection:
        return known_attributes(connection)


def test_new_attributes_are_added_and_known_ones_keep_who_declared_them(database: sa.Engine) -> None:
    declare(database, plan=ValueType.STRING, visits=ValueType.INTEGER)
    declare(database, by="import-2", plan=ValueType.STRING, born=ValueType.DATE)
    with reading(database) as connection:
        rows = catalogue(connection).select("attribute", "type", "declared_by", "declared_at").rows()
    assert rows == [
        ("born", "date", "import-2", NOW),
        ("plan", "string", "import-1", NOW),
        ("visits", "integer", "import-1", NOW),
    ]


@pytest.mark.parametrize(("first", "second"), [("integer", "number"), ("number", "integer")])
def test_whole_numbers_and_fractions_meet_in_number(database: sa.Engine, first: str, second: str) -> None:
    declare(database, score=ValueType(first))
    declare(database, score=ValueType(second))
    assert known(database) == {"score": ValueType.NUMBER}


def test_any_other_change_of_type_is_refused_and_names_both(database: sa.Engine) -> None:
    declare(database, plan=ValueType.STRING)
    with pytest.raises(InvalidInput, match=r"'plan' is of type string, not boolean"):
        declare(database, plan=ValueType.BOOLEAN, new=ValueType.STRING)
    assert known(database) == {"plan": ValueType.STRING}, "nothing of the refused declaration is kept"


@pytest.mark.parametrize("name", ["email", "consent_sms", "reachable_email", "tags", "lists", "Plan", "1st", "a" * 65])
def test_names_that_cannot_be_columns_are_refused(engine: sa.Engine, name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        declare(engine, **{name: ValueType.STRING})


def test_an_attribute_is_described(database: sa.Engine) -> None:
    declare(database, plan=ValueType.STRING)
    with writing(database) as connection:
        describe(connection, "plan", " What they pay for. ")
        assert catalogue(connection)["description"].to_list() == ["What they pay for."]
        with pytest.raises(NotFound, match="plna") as refused:
            describe(connection, "plna", "?")
    assert "plan" in refused.value.hint


def add_contacts(engine: sa.Engine, *attributes: dict[str, object]) -> None:
    with writing(engine) as connection:
        for number, values in enumerate(attributes):
            row = {"contact_id": f"c{number}", "external_id": f"{number}", "attributes": values}
            connection.execute(sa.insert(contacts).values(row | {"created_at": NOW, "updated_at": NOW}))


def test_a_type_is_changed_with_all_its_values(database: sa.Engine) -> None:
    declare(database, code=ValueType.INTEGER, other=ValueType.STRING)
    add_contacts(database, {"code": 1010, "other": "code"}, {"code": None}, {"other": "x"})
    later = NOW + timedelta(hours=1)
    with writing(database) as connection:
        assert retype(connection, "code", ValueType.STRING, at=later) == 1
        rows = connection.execute(sa.select(contacts.c.attributes, contacts.c.updated_at)).all()
    assert [(dict(values), at) for values, at in rows if values.get("code")] == [
        ({"code": "1010", "other": "code"}, later)
    ]
    assert sorted(at for _, at in rows) == [NOW, NOW, later]
    assert known(database)["code"] is ValueType.STRING


def test_a_type_that_a_value_does_not_fit_is_refused(database: sa.Engine) -> None:
    declare(database, plan=ValueType.STRING)
    add_contacts(database, {"plan": "12"}, {"plan": "gold"})
    with writing(database) as connection, pytest.raises(InvalidInput, match="1 contacts have a value") as refused:
        retype(connection, "plan", ValueType.INTEGER, at=NOW)
    assert "c1" in refused.value.hint
    assert known(database) == {"plan": ValueType.STRING}
