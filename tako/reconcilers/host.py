"""Host: this machine, as seen. One document, written by the server that runs on it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tako.model.conditions import Told, merge_conditions
from tako.model.control import Policies
from tako.model.kinds import HOST
from tako.proxy.cloudflare import RangesSeen
from tako.reconcilers.world import World

Doc = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HostSeen:
    """What the server knows of the machine and of itself."""

    version: str
    pid: int
    proxy_pid: int | None
    table_generation: int | None
    http_port: int
    https_port: int
    apps: int
    instances: int
    cpus: int
    isolation: tuple[str, ...]
    missing_isolation: tuple[str, ...]
    proxy_fault: str = ""
    store_fault: str | None = None
    store_notice: str | None = None  # what had to be done to have a store at all
    metrics_port: int | None = None
    metrics_fault: str = ""
    cloudflare_fault: str = ""
    policies: Policies = field(default_factory=Policies)


async def publish_host(world: World, name: str, seen: HostSeen) -> None:
    """Make the Host's status what is seen, and the Host itself when it is not there."""
    doc = await world.find(HOST, None, name)
    if doc is None:
        bare = {"apiVersion": HOST.api_version, "kind": HOST.name, "metadata": {"name": name}, "spec": {}}
        doc = await world.resources.create(HOST.group_resource, None, bare)
    generation = doc["metadata"]["generation"]
    conditions = merge_conditions(doc.get("status", {}).get("conditions"), tell(seen), generation, world.now())
    status: Doc = {
        "observedGeneration": generation,
        "conditions": conditions,
        "version": seen.version,
        "pid": seen.pid,
        "proxyPid": seen.proxy_pid,
        "tableGeneration": seen.table_generation,
        "httpPort": seen.http_port,
        "httpsPort": seen.https_port,
        "apps": seen.apps,
        "instances": seen.instances,
        "cpus": seen.cpus,
        "isolation": list(seen.isolation),
        "metricsPort": seen.metrics_port,
        "maxRequestsPerIp": seen.policies.max_requests_per_ip,
        "trustedProxy": _trusted(seen.policies),
    }
    await world.write_status(HOST, doc, {key: value for key, value in status.items() if value is not None})


def ranges_fault(seen: RangesSeen, now: float) -> str:
    """Return what to tell a person when Cloudflare's ranges could not be fetched for long, or an empty text."""
    if not seen.is_old(now):
        return ""
    since = "that came with this version" if seen.fetched_at is None else f"of {_day(seen.fetched_at)}"
    return f"The list of Cloudflare's addresses {since} is used; a newer one cannot be had: {seen.fault}."


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _trusted(policies: Policies) -> Doc | None:
    if not policies.trusted_cidrs:
        return None
    return {
        "proxyProtocol": policies.proxy_protocol,
        "trustedCidrs": list(policies.trusted_cidrs),
        "clientIpHeaders": list(policies.client_ip_headers),
    }


def tell(seen: HostSeen) -> tuple[Told, ...]:
    """Return the conditions of the host. Pure."""
    if seen.proxy_fault:
        proxy = Told("ProxyReady", "False", "Faulty", seen.proxy_fault)
    elif seen.proxy_pid is None:
        proxy = Told("ProxyReady", "False", "NotConnected", "tako-proxyd is not connected; see proxy/proxyd.log.")
    elif seen.table_generation is None:
        proxy = Told("ProxyReady", "False", "TablePending", "tako-proxyd has not taken the current table yet.")
    else:
        proxy = Told("ProxyReady", "True", "Serving", f"tako-proxyd (pid {seen.proxy_pid}) serves.")
    store = (
        Told("StoreReady", "False", "WritesRefused", seen.store_fault)
        if seen.store_fault
        else Told("StoreReady", "True", "Restored", seen.store_notice)
        if seen.store_notice
        else Told("StoreReady", "True", "Writing", "Writes are accepted.")
    )
    isolation = (
        Told("Isolation", "False", "HostLacks", "Not enforced: " + "; ".join(seen.missing_isolation) + ".")
        if seen.missing_isolation
        else Told("Isolation", "True", "Enforced", "Users, limits and privileges are enforced.")
    )
    # Nobody's request depends on it: it is told, and is no fault of the host.
    metrics = (
        (Told("MetricsServed", "False", "PortUnavailable", seen.metrics_fault),)
        if seen.metrics_fault
        else (Told("MetricsServed", "True", "Serving", f"http://127.0.0.1:{seen.metrics_port}/metrics"),)
        if seen.metrics_port
        else ()
    )
    ranges = (Told("CloudflareRanges", "False", "Old", seen.cloudflare_fault),) if seen.cloudflare_fault else ()
    faults = [told for told in (proxy, store) if told.status == "False"]
    ready = (
        Told("Ready", "False", faults[0].reason, faults[0].message)
        if faults
        else Told("Ready", "True", "Ready", "This host runs what is declared.")
    )
    return ready, proxy, store, isolation, *metrics, *ranges
