"""What the words mean: kinds, names, route patterns, wire messages.

Frozen values and pure functions. Nothing here opens a file, a socket or a clock.
"""
