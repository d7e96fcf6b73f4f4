"""Removing what this host has of a release or an app. Gone already is no error; half gone is finished."""

import shutil

from tako.host_agent.layout import Layout
from tako.model.names import DeploymentId, ReleaseId


def remove_release(layout: Layout, app: DeploymentId, version: ReleaseId) -> None:
    """Delete the files of one release. Blocks."""
    shutil.rmtree(layout.app(app).release(version), ignore_errors=True)


def remove_unfinished(layout: Layout) -> None:
    """Delete what releases were being made from when a former tako-server was killed. Blocks."""
    shutil.rmtree(layout.tmp, ignore_errors=True)


def remove_app(layout: Layout, app: DeploymentId) -> None:
    """Delete everything of an app in an environment: releases, logs and its own data. Blocks."""
    root = layout.app(app).root
    shutil.rmtree(root, ignore_errors=True)
    try:
        root.parent.rmdir()
    except OSError:
        return  # other environments of the app are still there
