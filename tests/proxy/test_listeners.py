import os
import socket

import pytest

from tako.model.errors import Refused
from tako.proxy.listeners import Listeners, Ports, open_listeners

ANY = Ports(http=0, https=0)


def connect(host: str, port: int) -> bool:
    with socket.create_connection((host, port), timeout=5):
        return True


def test_each_port_has_a_socket_for_each_worker() -> None:
    listeners = open_listeners(ANY, workers=3)
    try:
        assert listeners.names == ("http/0", "http/1", "http/2", "https/0", "https/1", "https/2")
        assert listeners.workers == 3
        assert listeners.port("http") != listeners.port("https")
        assert {found.getsockname()[1] for name, found in listeners.sockets.items() if name.startswith("https/")} == {
            listeners.port("https")
        }
        assert connect("127.0.0.1", listeners.port("https") or 0)
        assert connect("localhost", listeners.port("http") or 0)
    finally:
        listeners.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this host has no IPv6")
def test_both_address_families_are_answered() -> None:
    listeners = open_listeners(ANY, workers=1)
    try:
        assert connect("::1", listeners.port("https") or 0)
        assert connect("127.0.0.1", listeners.port("https") or 0)
    finally:
        listeners.close()


def test_one_address_may_be_chosen() -> None:
    listeners = open_listeners(Ports(http=0, https=0, address="127.0.0.1"), workers=2)
    try:
        assert listeners.sockets["http/0"].getsockname()[0] == "127.0.0.1"
    finally:
        listeners.close()


@pytest.mark.parametrize("shares", [False, True], ids=["another program", "another server of ours that shares it"])
def test_a_taken_port_is_named_with_what_to_do(shares: bool) -> None:
    with socket.socket() as other:
        if shares:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Refused, match=rf"HTTPS port {port} is in use .*--https-port"):
            open_listeners(Ports(http=0, https=port), workers=2)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every port")
def test_a_privileged_port_is_named_with_what_to_do() -> None:
    with pytest.raises(Refused, match=r"HTTP port 80 may not be opened .*--http-port"):
        open_listeners(Ports(http=80, https=0), workers=1)


def test_a_port_can_be_opened_again_after_closing() -> None:
    first = open_listeners(ANY, workers=2)
    ports = Ports(http=first.port("http") or 0, https=first.port("https") or 0)
    connect("127.0.0.1", ports.https)
    first.close()
    open_listeners(ports, workers=2).close()


def test_adopted_sockets_are_the_same_sockets() -> None:
    opened = open_listeners(ANY, workers=2)
    adopted = Listeners.adopt(opened.names, [os.dup(fd) for fd in opened.descriptors])
    port = opened.port("https")
    assert adopted.serve(ANY)
    assert adopted.serve(Ports(http=0, https=port or 0))
    assert not adopted.serve(Ports(http=0, https=(port or 0) + 1))
    opened.close()
    assert connect("127.0.0.1", port or 0)
    adopted.close()
