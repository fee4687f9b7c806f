"""Marketing campaigns as a data pipeline: contacts, segments, audience, messages, dispatch, events, analytics."""

import os

ALLOCATOR = "background_thread:true,dirty_decay_ms:0,muzzy_decay_ms:0"
"""Polars' allocator gives memory back to the system at once, instead of keeping it for later stages.

Of a run of a million messages that is half a gigabyte. It holds where this package is imported before Polars.
"""

os.environ.setdefault("_RJEM_MALLOC_CONF", ALLOCATOR)
