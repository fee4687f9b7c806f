"""Dispatch: every planned message handed to its provider at most once; what became of it is in a ledger."""
