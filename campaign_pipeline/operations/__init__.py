"""What people do across stages: apply definitions, run, pause and cancel campaigns, ask where they are."""
