"""One module per command; its function of the same name takes the session and what was typed, and returns the exit code."""
