"""tako-server: puts the API, the host agent, the proxy and the operator together in one process."""
