"""The command line: one module per command. Reads arguments, calls below, prints; decides nothing."""
