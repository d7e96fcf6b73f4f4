"""A peer for the protocol tests: speaks the control socket as tako-proxyd does, and answers every request with 404.

It finds all instances drained, and cannot use a table whose `max_requests_per_ip` is 13. It counts its answers as the
first app's, and does not say how many while a file `silent` is in its directory.
"""

import argparse
import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path

UNUSABLE = 13
ANSWER = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class FakeProxy:
    def __init__(self, control: str, state: Path) -> None:
        self.control = control
        self.table_path = state / "table.json"
        self.listeners: dict[str, int] = {}
        self.silent = state / "silent"
        self.answered = 0
        self.table = {"generation": 0, "apps": []}
        with contextlib.suppress(OSError, ValueError):
            self.table = json.loads(self.table_path.read_text())

    def run(self) -> None:
        while True:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
                sock.connect(self.control)
                self.serve_control(sock)
            time.sleep(0.02)

    def say(self, sock: socket.socket, **message: object) -> None:
        sock.sendall(json.dumps(message).encode() + b"\n")

    def serve_control(self, sock: socket.socket) -> None:
        hello = {
            "type": "hello",
            "pid": os.getpid(),
            "version": "fake",
            "generation": self.table["generation"],
            "listeners": list(self.listeners),
        }
        socket.send_fds(sock, [json.dumps(hello).encode() + b"\n"], list(self.listeners.values()))
        incoming = b""
        while True:
            data, descriptors, _, _ = socket.recv_fds(sock, 65536, 64)
            if not data:
                return
            incoming += data
            while b"\n" in incoming:
                line, incoming = incoming.split(b"\n", 1)
                self.obey(sock, json.loads(line), descriptors)

    def obey(self, sock: socket.socket, message: dict[str, object], descriptors: list[int]) -> None:
        match message["type"]:
            case "welcome":
                self.listen(dict(zip(message["listeners"], descriptors, strict=True)))
            case "table":
                self.take_table(sock, message)
            case "delta":
                if message["base"] != self.table["generation"]:
                    self.say(sock, type="reject", generation=message["generation"], error="another base")
                    return
                changed = {app["app"]: app for app in message["apps"]}
                apps = [changed.get(app["app"], app) for app in self.table["apps"]]
                self.take_table(sock, {**self.table, "generation": message["generation"], "apps": apps})
            case "start_failed":
                self.say(sock, type="wake", app=message["app"], waiting=0)
            case "measure":
                if not self.silent.exists():
                    self.say_counts(sock)
            case "shutdown":
                self.say_counts(sock)
                os._exit(0)

    def say_counts(self, sock: socket.socket) -> None:
        durations = {"counts": [self.answered, *[0] * 12], "sum_us": self.answered * 100}
        counts = [
            {
                "app": app["app"],
                "statuses": {"2xx": 0, "3xx": 0, "4xx": self.answered, "5xx": 0},
                "duration": durations,
                "upstream": durations,
                "active": 1,
            }
            for app in self.table["apps"][:1]
        ]
        self.say(sock, type="metrics", apps=counts, tls_failures={"no_sni": 1, "cert_missing": 0})

    def take_table(self, sock: socket.socket, table: dict[str, object]) -> None:
        if table["policies"]["max_requests_per_ip"] == UNUSABLE:
            self.say(sock, type="reject", generation=table["generation"], error="unlucky")
            return
        self.table = table
        self.table_path.parent.mkdir(exist_ok=True)
        unready = self.table_path.with_suffix(f".{os.getpid()}")
        unready.write_text(json.dumps(table))
        unready.replace(self.table_path)
        self.say(sock, type="ack", generation=table["generation"])
        for app in table["apps"]:
            for endpoint in app["endpoints"]:
                if endpoint["state"] == "draining":
                    self.say(sock, type="drained", app=app["app"], instance=endpoint["instance"])

    def listen(self, listeners: dict[str, int]) -> None:
        self.listeners |= listeners
        for descriptor in listeners.values():
            threading.Thread(target=self.answer, args=(socket.socket(fileno=descriptor),), daemon=True).start()

    def answer(self, listener: socket.socket) -> None:
        listener.settimeout(None)
        while True:
            with contextlib.suppress(OSError):
                accepted, _ = listener.accept()
                with accepted:
                    accepted.settimeout(5)
                    accepted.recv(65536)
                    accepted.sendall(ANSWER)
                    self.answered += 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--control")
    parser.add_argument("--state-dir", type=Path)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    FakeProxy(arguments.control, arguments.state_dir).run()
