"""The leaves of the segment tree, one file a kind: how it is written, what it says, what it means in SQL."""
