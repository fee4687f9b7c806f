"""HTTP for the outside: the event receiver. Knows nothing of Dagster."""
