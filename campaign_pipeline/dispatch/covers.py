"""Whom a claim covers, as text: message numbers in ranges, such as 12,15-499."""

from collections.abc import Iterable, Iterator


def as_text(numbers: Iterable[int]) -> str:
    """The numbers, each once, in order."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def numbers_of(text: str) -> Iterator[int]:
    """The numbers that `as_text` wrote."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
