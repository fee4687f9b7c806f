"""How values are written for people, wherever they are shown."""

from datetime import datetime
from decimal import Decimal


def written(value: object) -> str:
    """A value as people write it: thousands separated, four digits of a fraction, a dash for nothing."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case Decimal():
            return f"{value.normalize():,f}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M} UTC"
        case _:
            return str(value)
