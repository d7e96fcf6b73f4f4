"""The server is found in the order that the help says, and a missing one is told with the way out."""

import json
import socket
from pathlib import Path

import pytest

from tako.cli.location import DEFAULT_SOCKET, locate, user_data_dir
from tests.cli.conftest import Tako


def test_the_option_wins_then_the_variable_then_the_note_then_the_default(tmp_path: Path) -> None:
    environment = {"TAKO_HOME": str(tmp_path), "TAKO_API_SOCKET": "/variable"}
    note = tmp_path / "local-server.json"
    note.write_text(json.dumps({"socket": "/noted", "data_dir": "/d", "pid": 1}))
    assert locate("/option", environment) == ("/option", "--api-socket")
    assert locate(None, environment) == ("/variable", "TAKO_API_SOCKET")
    del environment["TAKO_API_SOCKET"]
    assert locate(None, environment) == ("/noted", str(note))
    note.write_text("{")
    assert locate(None, environment) == (DEFAULT_SOCKET, "the default")


@pytest.mark.parametrize(
    ("environment", "directory"),
    [
        ({"TAKO_HOME": "/t", "XDG_DATA_HOME": "/x"}, "/t"),
        ({"XDG_DATA_HOME": "/x", "HOME": "/h"}, "/x/tako"),
        ({"HOME": "/h"}, "/h/.local/share/tako"),
    ],
)
def test_the_users_data_directory(environment: dict[str, str], directory: str) -> None:
    assert user_data_dir(environment) == directory


def test_a_missing_server_is_told_with_the_socket_and_how_to_start_one(tako: Tako, tmp_path: Path) -> None:
    code, out, err = tako("get", "apps")
    assert (code, out) == (1, "")
    assert f"there is no socket at {tmp_path}/data/api.sock (named by TAKO_API_SOCKET)" in err
    assert "tako-server --data-dir" in err
    assert "--api-socket" in err


def test_a_socket_left_behind_by_a_kill_is_told_as_such(tako: Tako, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "data" / "api.sock"))
    assert "a server that was killed left it behind" in tako("get", "apps").err


def test_a_server_that_speaks_something_else_is_told(tako: Tako, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "sock"))
        other.listen()
        import threading

        def answer() -> None:
            connection, _ = other.accept()
            connection.recv(1000)
            connection.sendall(b"SSH-2.0-x\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        ended = tako("get", "apps", "--api-socket", "sock")
        thread.join()
    assert ended.code == 1
    assert "does not speak HTTP" in ended.err
