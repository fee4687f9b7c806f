"""Contacts coming in: files, normalisation, consent, suppression, and the snapshot that later stages read."""
