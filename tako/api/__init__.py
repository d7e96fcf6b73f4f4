"""The resource API: Kubernetes' REST conventions on SQLite.

Knows schemas and documents, not what an app or an instance means: rules of that kind
arrive as admission functions from :mod:`tako.model`.
"""
