"""Alembic's entry: runs the revisions on the connection that campaign_pipeline.core.database hands over."""

from alembic import context

from campaign_pipeline.core.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    transaction_per_migration=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
