"""The local provider: a real HTTP server that the Twilio and SendGrid SDKs talk to, with a known truth."""
