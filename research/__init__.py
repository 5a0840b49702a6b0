"""The laboratory: how the built-in model came to be. Not installed; nothing else imports it."""
