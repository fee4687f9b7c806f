"""One file a provider: its raw types mapped by a table onto ours; what is unknown survives as UNKNOWN."""
