"""Run by the Python that has the `kubernetes` package: exercises it against a kubeconfig and prints what it saw."""

import json
import sys

from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException


def main(kubeconfig: str) -> dict[str, object]:
    config.load_kube_config(kubeconfig)
    seen: dict[str, object] = {}
    custom, core = client.CustomObjectsApi(), client.CoreV1Api()
    apps = ("tako.sh", "v1", "production", "apps")
    spec = {"source": {"path": "/srv/hello"}, "runtime": "node", "main": "index.mjs"}
    body = {"apiVersion": "tako.sh/v1", "kind": "App", "metadata": {"name": "hello"}, "spec": spec}
    made = custom.create_namespaced_custom_object(*apps, body)
    seen["generation"] = made["metadata"]["generation"]
    custom.patch_namespaced_custom_object(*apps, "hello", {"spec": {"instances": 2}})
    custom.patch_namespaced_custom_object_status(*apps, "hello", {"status": {"url": "https://x"}})
    stored = custom.get_namespaced_custom_object(*apps, "hello")
    seen["stored"] = [stored["spec"]["instances"], stored["status"]["url"]]
    scale = custom.get_namespaced_custom_object_scale(*apps, "hello")
    seen["scale"] = scale["spec"]["replicas"]
    stream = watch.Watch().stream(
        custom.list_namespaced_custom_object,
        *apps,
        resource_version=made["metadata"]["resourceVersion"],
        timeout_seconds=1,
    )
    seen["watched"] = [event["type"] for event in stream]
    try:
        custom.create_namespaced_custom_object(*apps, body)
    except ApiException as error:
        seen["twice"] = error.status
    core.create_namespaced_config_map("production", {"metadata": {"name": "settings"}, "data": {"a": "b"}})
    seen["configmap"] = core.read_namespaced_config_map("settings", "production").data
    seen["namespaces"] = [item.metadata.name for item in core.list_namespace().items]
    crds = client.ApiextensionsV1Api().list_custom_resource_definition().items
    seen["established"] = sorted({c.type for crd in crds for c in crd.status.conditions})
    dynamic_client = dynamic.DynamicClient(client.ApiClient())
    resource = dynamic_client.resources.get(api_version="tako.sh/v1", kind="App")
    applied = {**body, "spec": {**spec, "env": {"A": "b"}}}
    resource.server_side_apply(body=applied, name="hello", namespace="production", field_manager="python")
    seen["applied"] = resource.get(name="hello", namespace="production").spec.env.to_dict()
    custom.delete_namespaced_custom_object(*apps, "hello")
    seen["left"] = len(custom.list_namespaced_custom_object(*apps)["items"])
    return seen


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
