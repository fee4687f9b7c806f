"""Campaigns: definition, life cycle, schedule, and the frozen audience with its variants."""
