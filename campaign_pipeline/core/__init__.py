"""What every stage stands on: settings, errors, clock, ids, the three stores and the shared words."""
