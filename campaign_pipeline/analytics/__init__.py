"""From messages and events to figures: facts, metrics, experiment results, charts, reports, the warehouse."""
