"""``python -m tako_sh asgi|wsgi|auto module:callable [--instance ID]``: serve an application.

Whatever fails before the port is reported is printed to stderr and ends the process with 1, so that
Tako keeps the old instances and shows what was printed.
"""

import argparse
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from tako_sh.envelope import Envelope, EnvelopeInvalid, process_envelope
from tako_sh.instance import INSTANCE
from tako_sh.loading import AppNotFound, guess_interface, load_app

DEFAULT_PORT = "3000"
DEFAULT_HOST = "127.0.0.1"


def main() -> None:
    """Run the command line."""
    arguments = _parse_arguments()
    INSTANCE.id = arguments.instance or INSTANCE.id
    # Until there is something to drain, being asked to stop is simply the end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    envelope = _read_envelope()
    _configure_output(envelope)
    app = _load(arguments.target)
    interface = guess_interface(app) if arguments.interface == "auto" else arguments.interface
    host, port = os.environ.get("HOST", DEFAULT_HOST), os.environ.get("PORT", DEFAULT_PORT)
    from tako_sh.serving import serve

    try:
        serve(app, interface, host, int(port))
    except OSError as error:
        _fail(f"cannot listen on {host}:{port}: {error}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tako_sh", description="Serve an application on Tako.")
    parser.add_argument("interface", choices=("asgi", "wsgi", "auto"))
    parser.add_argument("target", metavar="module:callable")
    parser.add_argument("--instance", metavar="ID", help="set by Tako")
    return parser.parse_args()


def _read_envelope() -> Envelope | None:
    try:
        return process_envelope()
    except EnvelopeInvalid as error:
        _fail(str(error))


def _configure_output(envelope: Envelope | None) -> None:
    # Into a file or pipe Python would keep lines back until a buffer is full.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    if envelope is None:
        logging.basicConfig(level=logging.INFO)
        return
    from tako_sh.log import LogHandler

    logging.basicConfig(level=logging.INFO, handlers=[LogHandler()])


def _load(target: str) -> Callable[..., Any]:
    try:
        return load_app(target)
    except AppNotFound as error:
        _fail(str(error))
    except Exception as error:  # noqa: BLE001  whatever an application's module raises means the same
        traceback.print_exc()
        _fail(f"cannot import {target}: {type(error).__name__}: {error}")


def _fail(message: str) -> NoReturn:
    sys.stdout.flush()
    print(f"Tako: {message}", file=sys.stderr, flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
