"""What must be right about a message before a run may send it."""
