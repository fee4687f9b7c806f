"""What providers and contacts report back: verified, kept durably as it came, normalised, and acted upon."""
