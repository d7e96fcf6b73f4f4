"""The only code that reaches outside the process: processes, disk, keys, archives, clock.

An adapter turns one library into a few verbs of ours and its errors into
:mod:`tako.model.errors`. What to do about a failure is decided by the caller.
"""
