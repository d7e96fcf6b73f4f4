"""The process contract, held by real instances."""

import hashlib
import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from instance import ENVELOPE, TOKEN, Instance, ask

CONTRACT = json.loads((Path(__file__).parents[2] / "conformance/status.json").read_text())
BOTH = pytest.mark.parametrize("interface", ["asgi", "wsgi"])


def start(interface: str, tmp_path: Path) -> Instance:
    return Instance(interface, f"served:{interface}", tmp_path)


@BOTH
def test_the_port_is_reported_as_one_line_once_it_answers(interface: str, tmp_path: Path) -> None:
    with start(interface, tmp_path) as instance:
        reported = instance.reported()
        assert reported == f"{int(reported)}\n".encode()
        socket.create_connection(("127.0.0.1", int(reported))).close()


@BOTH
def test_the_internal_endpoint_passes_the_conformance_cases(interface: str, tmp_path: Path) -> None:
    with start(interface, tmp_path) as instance:
        connection = instance.connect()
        for case in CONTRACT["cases"]:
            sent = {} if case["sent"] is None else {CONTRACT["header"]: case["sent"]}
            status, headers, body = ask(connection, case["path"], {"Host": case["host"], **sent})
            answer = case["answer"]
            if answer is None:
                assert body == f"http:{case['path']}", case["name"]
                continue
            assert status == answer["status"], case["name"]
            assert headers.get("x-tako-internal-token") == (TOKEN if answer["echoed"] else None), case["name"]
            assert headers["content-type"] == "application/json"
            if "body" in answer:
                assert body == answer["body"], case["name"]
            else:
                assert json.loads(body).items() >= answer["fields"].items(), case["name"]
            assert list(json.loads(body)) == answer.get("keys", list(json.loads(body)))


@BOTH
def test_secrets_come_from_the_envelope_and_are_in_no_environment(interface: str, tmp_path: Path) -> None:
    with start(interface, tmp_path) as instance:
        connection = instance.connect()
        assert ask(connection, "/secret")[2] == "hunter2"
        environment = ask(connection, "/environment")[2]
        assert "hunter2" not in environment
        assert TOKEN not in environment


@BOTH
def test_the_scheme_is_the_one_the_visitor_used(interface: str, tmp_path: Path) -> None:
    with start(interface, tmp_path) as instance:
        assert ask(instance.connect(), "/", {"X-Forwarded-Proto": "https"})[2] == "https:/"


def test_a_header_with_an_underscore_cannot_pose_as_the_proxys(tmp_path: Path) -> None:
    with start("wsgi", tmp_path) as instance:
        headers = {"X_Forwarded_For": "6.6.6.6", "X-Forwarded-For": "1.2.3.4"}
        assert ask(instance.connect(), "/client", headers)[2] == "1.2.3.4"


def test_a_wsgi_application_reads_a_large_body_whole(tmp_path: Path) -> None:
    upload = b"tako" * 700_000
    with start("wsgi", tmp_path) as instance:
        connection = instance.connect()
        assert ask(connection, "/digest", method="POST", body=upload)[2] == hashlib.sha256(upload).hexdigest()


def test_wsgi_requests_run_beside_each_other(tmp_path: Path) -> None:
    with start("wsgi", tmp_path) as instance, ThreadPoolExecutor(12) as pool:
        connections = [instance.connect()]
        connections += [instance.another() for _ in range(11)]
        answers = [pool.submit(ask, connection, "/wait") for connection in connections]
        instance.until(lambda: instance.stdout.count("waiting") == 12)
        instance.process.send_signal(signal.SIGUSR2)
        assert {answer.result()[0] for answer in answers} == {200}


@BOTH
def test_prints_appear_at_once_and_logging_becomes_records(interface: str, tmp_path: Path) -> None:
    with start(interface, tmp_path) as instance:
        ask(instance.connect(), "/print")
        assert "printed\n" in instance.stdout
        low, structured = instance.records()[-2:]
        automatic = {"build": "v1", "instance": "abcd1234"}
        assert (low["level"], low["msg"]) == ("warn", "low stock: 2")
        assert low["fields"] == {**automatic, "sku": "a1", "logger": "shop"}
        assert structured["fields"] == {**automatic, "n": 1, "secrets": "[REDACTED]"}


@BOTH
def test_an_application_that_raises_is_a_500_and_goes_on(interface: str, tmp_path: Path) -> None:
    with start(interface, tmp_path) as instance:
        connection = instance.connect()
        assert ask(connection, "/throw")[0] == 500
        assert ask(connection, "/")[0] == 200
        instance.until(lambda: any("out of order" in json.dumps(record) for record in instance.records()))


@BOTH
def test_on_sigterm_it_finishes_what_is_in_flight_and_leaves_with_0(interface: str, tmp_path: Path) -> None:
    with start(interface, tmp_path) as instance, ThreadPoolExecutor() as pool:
        waiting = pool.submit(ask, instance.connect(), "/wait")
        pooled = socket.create_connection(("127.0.0.1", instance.port))
        instance.until(lambda: "waiting" in instance.stdout)
        instance.process.terminate()
        instance.until(lambda: refused(instance.port))
        assert instance.process.poll() is None
        instance.process.send_signal(signal.SIGUSR2)
        assert waiting.result()[2].endswith(":/wait")
        assert instance.process.wait(5) == 0
        pooled.close()


def test_the_lifespan_is_run_from_start_to_end(tmp_path: Path) -> None:
    with start("asgi", tmp_path) as instance:
        instance.reported()
        instance.process.terminate()
        assert instance.process.wait(5) == 0
        assert [record["msg"] for record in instance.records()] == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.parametrize(
    ("interface", "target", "cause"),
    [
        ("asgi", "throws:app", "Tako: cannot import throws:app: RuntimeError: boom at import"),
        ("asgi", "nowhere:app", "Tako: cannot import nowhere:app: ModuleNotFoundError: No module named 'nowhere'"),
        ("asgi", "served:nothing", "Tako: module 'served' has no 'nothing'"),
        ("wsgi", "served:number", "Tako: 'served:number' is a int, which cannot be called"),
        ("asgi", "served", "Tako: 'served' is not of the form module:callable, for example main:app"),
        ("asgi", "served:refusing", "Application startup failed. Exiting."),
    ],
)
def test_what_cannot_start_ends_with_1_and_the_cause(interface: str, target: str, cause: str, tmp_path: Path) -> None:
    with Instance(interface, target, tmp_path) as instance:
        assert instance.reported() == b""
        assert instance.process.wait(5) == 1
        assert instance.stderr.splitlines()[-1] == cause


def test_a_malformed_envelope_ends_with_1_and_does_not_show_what_it_held(tmp_path: Path) -> None:
    with Instance("asgi", "served:asgi", tmp_path, ENVELOPE[:-20]) as instance:
        assert instance.process.wait(5) == 1
        assert instance.reported() == b""
        assert instance.stderr == "Tako: the bootstrap envelope is not valid JSON\n"


@pytest.mark.parametrize("target", ["served:asgi", "served:wsgi", "served:create_app()"])
def test_auto_tells_asgi_from_wsgi(target: str, tmp_path: Path) -> None:
    with Instance("auto", target, tmp_path) as instance:
        assert ask(instance.connect(), "/")[2] == "http:/"


def test_in_a_container_the_envelope_comes_by_variable_and_is_removed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {"PORT": str(port), "TAKO_BOOTSTRAP_DATA": ENVELOPE}
    with Instance("asgi", "served:asgi", tmp_path, None, **variables) as instance:
        instance.until(lambda: not refused(port))
        instance.port = port
        connection = instance.another()
        assert ask(connection, "/secret")[2] == "hunter2"
        assert "hunter2" not in ask(connection, "/environment")[2]


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False
