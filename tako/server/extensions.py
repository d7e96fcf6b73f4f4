"""What the server answers beside the resource API: app logs, drift, and a kubeconfig."""

from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from tako.api.credentials import kubeconfig
from tako.api.server import Extension
from tako.model.errors import TakoError
from tako.model.kinds import APP, CERTIFICATE
from tako.model.names import DeploymentId, InstanceId
from tako.reconcilers.drift import Difference, differences

if TYPE_CHECKING:
    from tako.server.host import Host

DEFAULT_TAIL = 200


def install(host: "Host") -> None:
    """Add our handlers to the API server; they are behind its authentication."""

    async def log(request: web.Request) -> web.StreamResponse:
        return await _log(host, request)

    async def drift(_: web.Request) -> web.Response:
        return web.json_response({"items": [one.to_doc() for one in await _drift(host)]})

    async def write_kubeconfig(_: web.Request) -> web.Response:
        if not host.settings.api_port:
            raise web.HTTPConflict(text="tako-server was started with --api-port 0; kubectl needs a port.\n")
        held = host.api.credentials
        text = kubeconfig(f"https://127.0.0.1:{host.api.api_port}", held.ca_pem, held.token)
        return web.Response(text=text, content_type="application/yaml")

    host.api.extend(
        [
            Extension("GET", "/apis/tako.sh/v1/namespaces/{namespace}/apps/{name}/log", log),
            Extension("GET", "/tako/drift", drift),
            Extension("GET", "/tako/kubeconfig", write_kubeconfig),
        ]
    )


async def _log(host: "Host", request: web.Request) -> web.StreamResponse:
    app = DeploymentId(request.match_info["name"], request.match_info["namespace"])
    if host.mirror.find(APP, app.environment, app.app) is None:
        raise web.HTTPNotFound(text=f'apps.tako.sh "{app.app}" not found\n')
    query = request.query
    tail = query.get("tailLines", str(DEFAULT_TAIL))
    if not tail.isdecimal():
        raise web.HTTPBadRequest(text=f"tailLines must be a number of lines, not {tail!r}\n")
    lines = host.agent.logs.follow(
        app,
        since_lines=int(tail),
        follow=query.get("follow") in ("true", "1"),
        instance=InstanceId(query["instance"]) if "instance" in query else None,
        stream=query.get("stream"),
        access_records=query.get("access") != "false",
    )
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await response.prepare(request)
    async for line in lines:
        await response.write(f"{line}\n".encode())
    return response


async def _drift(host: "Host") -> tuple[Difference, ...]:
    apps = list(host.mirror.of(APP))
    digests: dict[DeploymentId, str] = {}
    for doc in apps:
        source = doc["spec"]["source"]
        if "digest" in source and source.get("path"):
            try:
                digest = await host.world.digest(Path(source["path"]))
            except TakoError:
                continue  # a source that is gone is told by the app's own condition
            digests[DeploymentId(doc["metadata"]["name"], doc["metadata"]["namespace"])] = digest
    return differences(apps, host.agent.views(), host.mirror.routes(), host.mirror.of(CERTIFICATE), digests)
