"""One module per command: a function of the same name takes the session and what was typed, returns the exit code."""
