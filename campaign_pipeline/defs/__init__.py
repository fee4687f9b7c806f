"""Dagster only: assets by stage, checks, resources and automation. The work is done in the stages."""
