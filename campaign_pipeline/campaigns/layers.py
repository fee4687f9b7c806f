"""Layers: experiments that must not have a contact in common, by parts of the layer that do not overlap."""

from collections.abc import Iterable, Iterator

from campaign_pipeline.campaigns.definition import Campaign


def clashes(campaign: Campaign, others: Iterable[Campaign]) -> Iterator[tuple[str, str]]:
    """(field of the campaign's experiment, problem): where it and one of `others` cannot be as they are."""
    for other in others:
        if other.campaign == campaign.campaign:
            continue
        if other.experiment_name == campaign.experiment_name:
            yield from _differences(campaign, other)
        elif _overlap(campaign, other):
            start, end = other.design.part
            yield (
                "range",
                f"overlaps [{start:g}, {end:g}] of campaign {other.campaign!r} in layer {campaign.design.layer!r},"
                f" at the same time as that of {campaign.campaign!r}: give them ranges apart, or since and until",
            )


def _overlap(campaign: Campaign, other: Campaign) -> bool:
    one, two = campaign.design, other.design
    if one.layer is None or one.layer != two.layer or not one.meets(two):
        return False
    return one.part[0] < two.part[1] and two.part[0] < one.part[1]


def _differences(campaign: Campaign, other: Campaign) -> Iterator[tuple[str, str]]:
    """Campaigns of one experiment draw alike, or their contacts would change variants from run to run."""
    one, two = campaign.design, other.design
    same = {
        "layer": one.layer == two.layer,
        "range": one.part == two.part,
        "coverage": one.coverage == two.coverage,
        "variants": set(campaign.weights) == set(other.weights),
    }
    for field, is_same in same.items():
        if not is_same:
            yield (
                "name",
                f"experiment {campaign.experiment_name!r} is shared by campaigns {campaign.campaign!r} and"
                f" {other.campaign!r}, which differ in {field}: make them alike, or name the experiments apart",
            )
