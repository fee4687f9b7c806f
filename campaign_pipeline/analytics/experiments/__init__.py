"""Experiments: from units or aggregates to result rows with figures, intervals and a decision. One concept a file."""
