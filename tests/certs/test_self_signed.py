import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tako.adapters.keys import read_leaf
from tako.certs.self_signed import CLOCK_SKEW, LIFETIME, Held, default_certificate, due, hold, read_held
from tako.model.errors import Refused

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTS = ("shop.test", "*.shop.test", "127.0.0.1")


def issue(certs: Path, hosts: tuple[str, ...] = HOSTS, now: datetime = NOW) -> Held:
    held, issued = hold(certs, hosts, now)
    assert issued
    return held


@contextmanager
def serving(held: Held) -> Iterator[int]:
    """Serve HTTPS with the certificate, answering each request with `hello`; gives the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(held.chain_path, held.key_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(accepted, server_side=True) as visitor:
                        visitor.recv(65536)
                        visitor.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
                except (ssl.SSLError, ConnectionError):
                    accepted.close()

        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_certificate_is_issued_once_and_then_kept(tmp_path: Path) -> None:
    first = issue(tmp_path)
    again, issued = hold(tmp_path, HOSTS, NOW + timedelta(days=59))
    assert (again, issued) == (first, False)
    assert first.directory == tmp_path / "shop.test"
    assert (first.directory / "issuer").read_text() == "self-signed\n"
    assert set(first.names) == set(HOSTS)
    assert read_held(first.directory) == first


def test_it_expires_after_its_lifetime_and_is_renewed_a_third_before(tmp_path: Path) -> None:
    held = issue(tmp_path)
    assert held.not_before == NOW - CLOCK_SKEW
    assert held.not_after == NOW - CLOCK_SKEW + LIFETIME
    assert held.renewal_time == held.not_after - timedelta(days=30)
    renewed, issued = hold(tmp_path, HOSTS, held.renewal_time)
    assert issued
    assert renewed.not_after > held.not_after
    assert renewed.fingerprint != held.fingerprint


@given(st.integers(min_value=-200 * 86400, max_value=200 * 86400))
def test_a_certificate_is_due_exactly_outside_the_first_two_thirds_of_its_life(seconds: int) -> None:
    held = Held(Path("/x"), HOSTS, NOW, NOW + LIFETIME, "f")
    now = NOW + timedelta(seconds=seconds)
    assert due(held, HOSTS, now) == (not timedelta() <= now - NOW < timedelta(days=60))


def test_a_clock_that_was_ahead_leaves_no_certificate_that_is_not_yet_valid(tmp_path: Path) -> None:
    issue(tmp_path, now=NOW + timedelta(days=365))
    held = issue(tmp_path)
    assert held.not_before < NOW < held.not_after


@pytest.mark.parametrize("name", ["fullchain.pem", "privkey.pem"])
@pytest.mark.parametrize("damage", [None, b"", b"-----BEGIN CERTIFICATE-----\nnonsense\n", b"\xff\x00"])
def test_a_file_that_is_missing_or_damaged_is_issued_again(tmp_path: Path, name: str, damage: bytes | None) -> None:
    held = issue(tmp_path)
    if damage is None:
        (held.directory / name).unlink()
    else:
        (held.directory / name).write_bytes(damage)
    assert read_held(held.directory) is None
    again = issue(tmp_path)
    assert read_held(again.directory) == again


def test_a_key_of_another_certificate_is_noticed(tmp_path: Path) -> None:
    held, other = issue(tmp_path), issue(tmp_path, ("other.test",))
    shutil.copy(other.key_path, held.key_path)
    assert read_held(held.directory) is None
    issue(tmp_path)


def test_the_key_is_readable_by_the_server_alone(tmp_path: Path) -> None:
    held = issue(tmp_path)
    assert held.key_path.stat().st_mode & 0o777 == 0o600
    held.key_path.chmod(0o644)
    renewed = issue(tmp_path, now=NOW + timedelta(days=61))
    assert renewed.key_path.stat().st_mode & 0o777 == 0o600


def test_names_that_are_added_are_issued_and_names_another_resource_needs_stay(tmp_path: Path) -> None:
    issue(tmp_path, ("a.test", "b.test"))
    both = issue(tmp_path, ("a.test", "c.test"))
    assert set(both.names) == {"a.test", "b.test", "c.test"}
    for hosts in [("a.test", "b.test"), ("a.test", "c.test"), ("a.test",)]:
        assert hold(tmp_path, hosts, NOW) == (both, False)


def test_a_wildcard_has_a_directory_that_no_host_can_have(tmp_path: Path) -> None:
    wildcard, host = issue(tmp_path, ("*.shop.test",)), issue(tmp_path, ("wildcard.shop.test",))
    assert wildcard.directory != host.directory
    assert "*" not in str(wildcard.directory)


def test_a_reader_never_sees_a_pair_that_does_not_belong_together(tmp_path: Path) -> None:
    held = issue(tmp_path)
    done = threading.Event()
    faults: list[str] = []

    def read_in_a_loop() -> None:
        while not done.is_set():
            try:
                read_leaf(held.chain_path.read_bytes(), held.key_path.read_bytes())
            except (OSError, ValueError) as error:
                faults.append(repr(error))

    reader = threading.Thread(target=read_in_a_loop)
    reader.start()
    for renewal in range(1, 60):
        issue(tmp_path, now=NOW + renewal * timedelta(days=61))
    done.set()
    reader.join()
    assert faults == []


def test_several_threads_issue_one_certificate(tmp_path: Path) -> None:
    results: list[tuple[Held, bool]] = []
    threads = [threading.Thread(target=lambda: results.append(hold(tmp_path, HOSTS, NOW))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({held.fingerprint for held, _ in results}) == 1
    assert sum(issued for _, issued in results) == 1


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "shop.test").write_text("a file where the directory should be")
    with pytest.raises(Refused, match=r"shop\.test"):
        hold(tmp_path, HOSTS, NOW)


def test_the_default_certificate_is_issued_and_kept(tmp_path: Path) -> None:
    first = default_certificate(tmp_path, NOW)
    assert default_certificate(tmp_path, NOW) == first
    assert Path(first.chain_path) == tmp_path / "_default" / "fullchain.pem"
    assert json.loads(first.model_dump_json())["names"] == ["localhost"]


@pytest.mark.parametrize("host", ["shop.test", "a.shop.test", "127.0.0.1"])
def test_python_verifies_it_for_each_of_its_names(tmp_path: Path, host: str) -> None:
    held = issue(tmp_path, now=datetime.now(UTC))
    context = ssl.create_default_context(cafile=str(held.chain_path))
    with (
        serving(held) as port,
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=host) as visitor,
    ):
        assert visitor.version() == "TLSv1.3"
        visitor.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert visitor.recv(65536).startswith(b"HTTP/1.1 200")


def test_python_refuses_it_for_another_name(tmp_path: Path) -> None:
    held = issue(tmp_path, now=datetime.now(UTC))
    context = ssl.create_default_context(cafile=str(held.chain_path))
    with (
        serving(held) as port,
        socket.create_connection(("127.0.0.1", port)) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        context.wrap_socket(plain, server_hostname="other.test")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(("host", "verifies"), [("shop.test", True), ("a.shop.test", True), ("other.test", False)])
def test_curl_verifies_it_for_its_names_only(tmp_path: Path, host: str, verifies: bool) -> None:
    held = issue(tmp_path, now=datetime.now(UTC))
    with serving(held) as port:
        options = ["-sS", "--noproxy", "*", "--cacert", str(held.chain_path), "--resolve", f"{host}:{port}:127.0.0.1"]
        done = subprocess.run(
            ["curl", *options, f"https://{host}:{port}/"], capture_output=True, text=True, timeout=30, check=False
        )
    assert (done.stdout == "hello") == verifies, done.stderr
