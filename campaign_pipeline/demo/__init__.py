"""The demo: made-up people with a known truth, run through the real pipeline against the sandbox."""
