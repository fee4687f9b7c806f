-- A campaign for tests and trials, with its template; needs test_segments.
-- Into template_versions, campaign_versions and campaigns; loaded by core.database.load_seeds.
INSERT INTO template_versions (template, version, hash, definition, applied_at) VALUES
    ('test_hello', 1, 'seed', '{"template": "test_hello", "channel": "email", "subject": "Hello", "html": "<p>Hello. <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></p>", "text": "Hello. Unsubscribe: {{ unsubscribe_url }}"}', '2026-01-01 00:00:00.000000')
ON CONFLICT DO NOTHING;

INSERT INTO campaign_versions (campaign, version, hash, definition, applied_at) VALUES
    ('test-campaign', 1, 'seed', '{"campaign": "test-campaign", "channel": "email", "segment": "test_everybody", "variants": [{"name": "only", "weight": 1, "template": "test_hello"}]}', '2026-01-01 00:00:00.000000')
ON CONFLICT DO NOTHING;

INSERT INTO campaigns (campaign, version, state, updated_at) VALUES
    ('test-campaign', 1, 'draft', '2026-01-01 00:00:00.000000')
ON CONFLICT DO NOTHING;
