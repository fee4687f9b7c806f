"""What is held about one contact: told in full, or erased everywhere."""
