"""`tako scale`: how many instances run."""

from typing import Annotated

from tako.cli.arguments import DryRun, Names, Namespace, Option
from tako.cli.failure import CommandFailed
from tako.cli.kinds import Kinds
from tako.cli.manifests import SCALE_MANAGER
from tako.cli.references import parse_references
from tako.cli.session import DEFAULT_NAMESPACE, Session

Instances = Annotated[int, Option(("--instances", "--replicas"), "Instances to keep running; 0: on demand only.", "N")]


def scale(
    session: Session, names: Names, *, instances: Instances, namespace: Namespace = None, dry_run: DryRun = False
) -> int:
    """Set how many instances of an app run, until the next apply of a file that says otherwise."""
    if instances < 0:
        raise CommandFailed(f"--instances: given {instances}: must be 0 or more", 2)
    for resource, name in parse_references(Kinds(session.client), names):
        if name is None:
            raise CommandFailed("name what to scale, for example `tako scale app/hello --instances 3`", 2)
        if "scale" not in resource.subresources:
            raise CommandFailed(f"{resource.plural} cannot be scaled")
        patch = {"spec": {"replicas": instances}}
        where = namespace or DEFAULT_NAMESPACE
        session.client.merge_patch(
            resource, where, name, patch, subresource="scale", manager=SCALE_MANAGER, dry_run=dry_run
        )
        if not session.settings.json:
            session.result(f"{resource.qualified}/{name} scaled{' (dry run)' if dry_run else ''}")
    return 0
