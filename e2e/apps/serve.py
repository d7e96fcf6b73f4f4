"""An application written against the process contract and nothing else: no SDK, no framework.

Starts in some 20 ms, so that what a test waits for is Tako. Its environment says how to misbehave:
MODE is one of serve, exit, hang, wrong-port, unwell, silent, slow-boot.
"""

import base64
import hashlib
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import BinaryIO

MODE = os.environ.get("MODE", "serve")
APP = os.environ["TAKO_APP_NAME"].split("/")[0]
INSTANCE = sys.argv[sys.argv.index("--instance") + 1]
TOKEN = ""


def read_token() -> str:
    """fd 3 carries the envelope: one JSON object, then EOF."""
    with os.fdopen(3, "rb") as pipe:
        return str(json.loads(pipe.read())["token"])


def report_port(port: int) -> None:
    """fd 4 takes the decimal port and a newline, once."""
    os.write(4, b"%d\n" % port)
    os.close(4)


def status(headers: dict[str, str]) -> tuple[int, bytes, str]:
    """The internal endpoint: only with the token, which the answer repeats."""
    if headers.get("x-tako-internal-token") != TOKEN:
        return 403, b'{"error":"Forbidden"}', ""
    echo = f"X-Tako-Internal-Token: {TOKEN}\r\n"
    if MODE == "unwell":
        return 500, b'{"status":"unhealthy","why":"the database is gone"}', echo
    return 200, json.dumps({"status": "healthy", "app": APP, "instance_id": INSTANCE}).encode(), echo


def answer(method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes, str]:
    """Say who answers; `?ms=N` takes that long, `?say=X` prints X, `?die` does not come back."""
    if headers.get("host", "").split(":")[0] == f"{APP}.tako":
        return status(headers)
    path, _, query = target.partition("?")
    if query == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if query.startswith("ms="):
        time.sleep(int(query[3:]) / 1000)
    if query.startswith("say="):
        print(query[4:], flush=True)
    said = {
        "app": APP,
        "instance": INSTANCE,
        "pid": os.getpid(),
        "release": os.environ.get("RELEASE", ""),
        "method": method,
        "path": path,
        "headers": headers,
        "body": body.decode("latin-1"),
    }
    return 200, json.dumps(said).encode(), ""


def echo_frames(peer: socket.socket, stream: BinaryIO, key: str) -> None:
    """A WebSocket that sends back whatever frame of up to 125 bytes it gets, pings as pongs (RFC 6455)."""
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    accept = base64.b64encode(digest).decode()
    head = f"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    peer.sendall(head.encode())
    while first := stream.read(1):
        length = stream.read(1)[0] & 0x7F
        mask, masked = stream.read(4), stream.read(length)
        content = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
        opcode = first[0] & 0x0F
        peer.sendall(bytes([0x80 | (0xA if opcode == 0x9 else opcode), length]) + content)
        if opcode == 0x8:
            return


def serve_connection(peer: socket.socket) -> None:
    """Keep-alive until the peer closes or asks for it."""
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with peer, peer.makefile("rb") as stream:
        while request_line := stream.readline():
            method, target, _ = request_line.decode("latin-1").split(" ", 2)
            headers = {}
            while (line := stream.readline()) not in (b"\r\n", b""):
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            if headers.get("upgrade", "").lower() == "websocket":
                echo_frames(peer, stream, headers["sec-websocket-key"])
                return
            body = stream.read(int(headers.get("content-length", 0)))
            code, content, extra = answer(method, target, headers, body)
            last = headers.get("connection", "").lower() == "close"
            extra += "Connection: close\r\n" if last else ""
            head = (
                f"HTTP/1.1 {code} X\r\nContent-Type: application/json\r\n{extra}Content-Length: {len(content)}\r\n\r\n"
            )
            peer.sendall(head.encode("latin-1") + content)
            if last:
                return


def survive_connection(peer: socket.socket) -> None:
    """A peer that goes away is its own affair."""
    try:
        serve_connection(peer)
    except OSError:
        pass


def main() -> None:
    global TOKEN
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    TOKEN = read_token()
    print(f"{APP} {INSTANCE} boots in mode {MODE}", flush=True)
    if MODE == "exit":
        print("cannot reach the database at db.invalid", file=sys.stderr, flush=True)
        sys.exit(3)
    if MODE == "hang":
        print("waiting for a lock that nobody gives back", flush=True)
        time.sleep(3600)
    if MODE == "slow-boot":
        time.sleep(float(os.environ["BOOT_SECONDS"]))
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    port = listener.getsockname()[1]
    if MODE != "silent":
        report_port(1 if MODE == "wrong-port" else port)
    print(f"{APP} {INSTANCE} listens", flush=True)
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=survive_connection, args=(peer,), daemon=True).start()


main()
