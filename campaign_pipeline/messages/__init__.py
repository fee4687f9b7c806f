"""Messages: templates, what each contact's message says, unsubscribe links, SMS parts and batches."""
