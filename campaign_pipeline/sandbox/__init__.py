"""The local provider: real servers that SDKs, mailers and webhooks talk to, with a known truth."""
