"""One module per kind: compare wanted with seen, act through the layer below, write status.

Only :mod:`tako.reconcilers.operator` knows kopf.
"""
