-- Segments for tests and trials: two rules on fields that every contact has.
-- Into segment_versions; loaded by core.database.load_seeds, after the migrations, on SQLite and PostgreSQL.
INSERT INTO segment_versions (segment, version, hash, definition, applied_at) VALUES
    ('test_everybody', 1, 'seed', '{"segment": "test_everybody", "description": "Every contact", "timezone": "UTC", "where": {"trait": {"field": "contact_id", "is_set": true}}}', '2026-01-01 00:00:00.000000'),
    ('test_germany', 1, 'seed', '{"segment": "test_germany", "description": "Contacts in Germany", "timezone": "Europe/Berlin", "where": {"trait": {"field": "country", "eq": "DE"}}}', '2026-01-01 00:00:00.000000')
ON CONFLICT DO NOTHING;
