"""`tako kubeconfig`: what kubectl needs to reach this server."""

from tako.cli.session import Session


def kubeconfig(session: Session) -> int:
    """Print a kubeconfig: tako kubeconfig > k; kubectl --kubeconfig k get apps -A. It holds a token."""
    text = session.client.raw("GET", "/tako/kubeconfig", accept="*/*").body.decode()
    if session.settings.json:
        session.result_json({"ok": True, "command": "kubeconfig", "kubeconfig": text})
    else:
        session.result(text)
    return 0
