"""The receiver's figures and pages, without a server."""

from pathlib import Path

from campaign_pipeline.core.clock import utc_now
from campaign_pipeline.events.inbox import Inbox
from campaign_pipeline.web.metrics import Metrics
from campaign_pipeline.web.pages import confirm_page, error_page


def test_paths_are_few_labels_without_tokens(tmp_path: Path) -> None:
    metrics = Metrics(Inbox(tmp_path, utc_now))
    for path in ("/u/secret-1", "/u/secret-2", "/wp-admin", "/webhooks/sendgrid"):
        metrics.count(path, 404)
    text = metrics.text()
    assert 'campaigns_receiver_requests_total{route="/u",status="404"} 2' in text
    assert 'campaigns_receiver_requests_total{route="other",status="404"} 1' in text
    assert "secret" not in text
    assert "\ncampaigns_inbox_waiting_bytes 0.0\n" in text


def test_pages_need_nothing_from_elsewhere_and_escape_their_text() -> None:
    page = bytes(confirm_page().body).decode()
    assert "<h1>Unsubscribe</h1>" in page
    assert not any(mark in page for mark in ("<script", "http://", "https://", "<img"))
    assert "&lt;b&gt;" in bytes(error_page("Title", "<b>", 404).body).decode()
