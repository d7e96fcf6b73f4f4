"""What happens to processes on this host: releases, instances, probes, logs, isolation.

Knows nothing of the resource API; what it has seen is handed to the reconcilers as values.
"""
