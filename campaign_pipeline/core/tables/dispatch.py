"""The dispatch ledger: append-only, so that what a crash leaves behind is always readable.

A batch is *claimed* (one row, committed before any byte leaves), then sent, then its *outcomes* are
appended: one row for the batch, and one for each message that fared differently. State is derived: planned,
claimed without outcome (in doubt), or its outcome. No row of the ledger is ever updated.

Beside it stands what all workers share while they send: pace, breakers, whom somebody wrote to lately.
"""

import sqlalchemy as sa

from campaign_pipeline.core.tables.base import BigId, Utc, metadata

plans = sa.Table(  # one row a run: what was planned when the batches were written; never changes afterwards
    "plans",
    metadata,
    sa.Column("run_id", sa.String(80), primary_key=True),
    sa.Column("messages", sa.Integer, nullable=False),
    sa.Column("batches", sa.Integer, nullable=False),
    sa.Column("content_hash", sa.String(24), nullable=False),  # of the batch file
    sa.Column("planned_at", Utc, nullable=False),
)

claims = sa.Table(
    "claims",
    metadata,
    sa.Column("run_id", sa.String(80), primary_key=True),
    sa.Column("batch_no", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),  # from 1
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("claimed_at", Utc, nullable=False),
    sa.Column("covers", sa.Text),  # message numbers such as 12,15-499; null: the whole batch
)

batch_outcomes = sa.Table(  # what became of all messages of a claim that have no row of their own in `outcomes`
    "batch_outcomes",
    metadata,
    sa.Column("run_id", sa.String(80), primary_key=True),
    sa.Column("batch_no", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("source", sa.String(12), primary_key=True),  # as in outcomes
    sa.Column("outcome", sa.String(12), nullable=False),
    sa.Column("code", sa.Text, nullable=False, server_default=""),
    sa.Column("provider_id", sa.Text, nullable=False, server_default=""),
    sa.Column("recorded_at", Utc, nullable=False),
)

outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("run_id", sa.String(80), primary_key=True),
    sa.Column("message_no", sa.Integer, primary_key=True, autoincrement=False),  # from 0, over the whole run
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("source", sa.String(12), primary_key=True),  # send | event | lookup | operator | policy
    sa.Column("outcome", sa.String(12), nullable=False),  # words.Outcome
    sa.Column("code", sa.Text, nullable=False, server_default=""),  # the provider's error code or our reason
    sa.Column("provider_id", sa.Text, nullable=False, server_default=""),  # SID or X-Message-Id
    sa.Column("recorded_at", Utc, nullable=False),
)

lookups = sa.Table(  # what providers answered when they were asked about messages in doubt
    "lookups",
    metadata,
    sa.Column("run_id", sa.String(80), primary_key=True),
    sa.Column("message_no", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("asked_at", Utc, primary_key=True),
    sa.Column("finding", sa.String(16), nullable=False),  # channels.base.Finding
)

pacing = sa.Table(  # one row a sender (and a recipient domain with a rate of its own): GCRA, updated by every worker
    "pacing",
    metadata,
    sa.Column("sender", sa.String(200), primary_key=True),
    sa.Column("domain", sa.String(255), primary_key=True, server_default=""),  # "": the sender as a whole
    sa.Column("next_at", sa.Double, nullable=False),  # Unix seconds: the theoretical arrival time of the next unit
)

sender_days = sa.Table(  # units (messages, or parts of SMS) that a sender used of a day's ceiling
    "sender_days",
    metadata,
    sa.Column("sender", sa.String(200), primary_key=True),
    sa.Column("domain", sa.String(255), primary_key=True, server_default=""),
    sa.Column("day", sa.String(10), primary_key=True),  # YYYY-MM-DD, UTC
    sa.Column("units", sa.BigInteger, nullable=False),
)

breaker_changes = sa.Table(  # append-only: the newest row of a subject counts
    "breaker_changes",
    metadata,
    sa.Column("change_id", BigId, primary_key=True, autoincrement=True),
    sa.Column("subject", sa.String(250), nullable=False, index=True),  # channel:sms | sender:... | country:...
    sa.Column("open", sa.Boolean, nullable=False),  # nothing is sent
    sa.Column("kind", sa.String(24), nullable=False, server_default=""),  # outcomes.Kind that opened it
    sa.Column("code", sa.Text, nullable=False, server_default=""),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("actor", sa.Text, nullable=False),  # the worker, or the person who closed it
    sa.Column("until", Utc),  # then one worker may probe; null: until somebody closes it
    sa.Column("changed_at", Utc, nullable=False),
)

contacted = sa.Table(  # whom messages were claimed for, while a frequency cap holds; old rows may be deleted
    "contacted",
    metadata,
    sa.Column("contact_id", sa.String(24), primary_key=True),  # first: what one batch touches lies together
    sa.Column("run_id", sa.String(80), primary_key=True),  # a fallback takes the place of the message before it
    sa.Column("message_no", sa.Integer, nullable=False),
    sa.Column("batch_no", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),  # the last one that was claimed
    sa.Column("channel", sa.String(16), nullable=False),
    sa.Column("purpose", sa.String(32), nullable=False),
    sa.Column("at", Utc, nullable=False),  # of that claim
    sqlite_with_rowid=False,
)

conversations = sa.Table(  # when somebody last wrote to us: WhatsApp takes free text for a day after that
    "conversations",
    metadata,
    sa.Column("channel", sa.String(16), primary_key=True),
    sa.Column("address", sa.String(320), primary_key=True),
    sa.Column("last_inbound_at", Utc, nullable=False),
)
