"""Certificates on disk: issuing, reading, and when to renew. Knows nothing of the resource API."""
