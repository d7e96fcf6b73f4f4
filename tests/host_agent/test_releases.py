"""Releases come from directories and archives, whole or not at all, and nothing gets out of them."""

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from tako.host_agent.layout import Layout
from tako.host_agent.releases import Prepared, activate, prepare, public_dir, source_digest
from tako.model.errors import Refused, RetryLater
from tako.model.kinds.app import Runtime, Source
from tako.model.kinds.release import ReleaseSpec
from tests.host_agent.world import APP


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An app with everything a directory may have."""
    root = tmp_path / "source"
    (root / "sub").mkdir(parents=True)
    (root / "main.py").write_text("app = 1\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "sub" / "data.txt").write_text("x")
    (root / "link").symlink_to("sub/data.txt")
    (root / ".env").write_text("SECRET=1")
    (root / ".env.production").write_text("SECRET=2")
    (root / ".envrc").write_text("kept")
    (root / ".git").mkdir()
    (root / ".git" / "HEAD").write_text("ref")
    (root / "sub" / ".tako").mkdir()
    return root


def spec(version: str = "v1", **fields: object) -> ReleaseSpec:
    paths = {key: str(fields.pop(key)) for key in ("path", "archive", "digest") if key in fields}
    return ReleaseSpec(app="demo", version=version, source=Source(**paths), **fields)  # type: ignore[arg-type]


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


KEPT = [".envrc", "link", "main.py", "run.sh", "sub", "sub/data.txt"]


async def test_a_directory_becomes_a_release_without_what_is_private(layout: Layout, source: Path) -> None:
    prepared = await prepare(APP, spec(path=source), layout)
    assert prepared == Prepared(layout.app(APP).release("v1"), source_digest(source), prepared.size_bytes)
    assert names(prepared.path) == KEPT
    assert (prepared.path / "link").readlink() == Path("sub/data.txt")
    assert os.access(prepared.path / "run.sh", os.X_OK)
    assert list(layout.tmp.iterdir()) == []


async def test_a_second_pass_changes_nothing(layout: Layout, source: Path) -> None:
    first = await prepare(APP, spec(path=source), layout)
    (source / "main.py").write_text("changed since")
    before = first.path.stat()
    await prepare(APP, spec(path=source), layout)
    assert first.path.stat() == before
    assert (first.path / "main.py").read_text() == "app = 1\n"


async def test_a_release_that_a_crash_left_half_is_made_anew(layout: Layout, source: Path) -> None:
    home = (await prepare(APP, spec(path=source), layout)).path
    (home / "main.py").unlink()
    home.with_name(".v1.unfinished").touch()
    await prepare(APP, spec(path=source), layout)
    assert names(home) == KEPT


def test_a_digest_is_of_contents_and_not_of_times(source: Path) -> None:
    before = source_digest(source)
    for path in (source, *source.rglob("*")):
        os.utime(path, (1, 1), follow_symlinks=False)
    (source / ".env").write_text("SECRET=other")
    (source / "main.py").chmod(0o600)
    assert source_digest(source) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "main.py").write_text("app = 2\n"),
        lambda root: (root / "new").touch(),
        lambda root: (root / "newdir").mkdir(),
        lambda root: (root / "main.py").rename(root / "main2.py"),
        lambda root: (root / "run.sh").chmod(0o644),
        lambda root: ((root / "link").unlink(), (root / "link").symlink_to("main.py")),
        lambda root: ((root / "link").unlink(), (root / "link").write_text("sub/data.txt")),
    ],
    ids=["content", "new file", "new directory", "name", "executable", "link target", "link to file"],
)
def test_a_digest_tells_every_change(source: Path, change: object) -> None:
    before = source_digest(source)
    change(source)  # type: ignore[operator]
    assert source_digest(source) != before


def archive(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o755
    return info


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.zst"])
async def test_every_kind_of_archive_is_unpacked(layout: Layout, source: Path, tmp_path: Path, suffix: str) -> None:
    plain = tmp_path / "a.tar"
    subprocess.run(["tar", "-cf", plain, "-C", source, "main.py", "run.sh", "sub", "link"], check=True)
    packed = tmp_path / f"b{suffix}"
    match suffix:
        case ".tar":
            packed = plain
        case ".tar.zst":
            packed.write_bytes(zstandard.ZstdCompressor().compress(plain.read_bytes()))
        case _:
            packed.write_bytes(subprocess.run(["gzip", "-c", plain], check=True, capture_output=True).stdout)
    prepared = await prepare(APP, spec(archive=packed), layout)
    assert (prepared.path / "main.py").read_text() == "app = 1\n"
    assert (prepared.path / "link").readlink() == Path("sub/data.txt")
    assert os.access(prepared.path / "run.sh", os.X_OK)


OUTSIDE = [
    [(member("../evil"), b"x")],
    [(member("a/../../evil"), b"x")],
    [(member("out", tarfile.SYMTYPE, "../.."), b""), (member("out/evil"), b"x")],
    [(member("out", tarfile.SYMTYPE, "/tmp"), b"")],
    [(member("hard", tarfile.LNKTYPE, "../../../../../etc/passwd"), b"")],
    [(member("null", tarfile.CHRTYPE), b"")],
    # Each link alone looks as if it stayed inside; one after the other they climb out.
    [
        (member("d", tarfile.DIRTYPE), b""),
        (member("here", tarfile.SYMTYPE, "."), b""),
        (member("up", tarfile.SYMTYPE, "here/.."), b""),
        (member("up/evil"), b"x"),
    ],
    # The same with a name too long for realpath to resolve: Python's own filter takes it for inside.
    [
        *((member("/".join(["d" * 247] * n), tarfile.DIRTYPE), b"") for n in range(1, 17)),
        *((member("/".join(["d" * 247] * n + ["l"]), tarfile.SYMTYPE, "d" * 247), b"") for n in range(16)),
        (member("/".join(["l"] * 16 + ["l" * 254]), tarfile.SYMTYPE, "../" * 16), b""),
        (member("escape", tarfile.SYMTYPE, "/".join(["l"] * 16 + ["l" * 254]) + "/../../source"), b""),
        (member("escape/evil"), b"x"),
    ],
    # A file that takes the place of a link is written to where the link leads.
    [(member("link", tarfile.SYMTYPE, "nowhere"), b""), (member("link"), b"x")],
]


@pytest.mark.parametrize(
    "members",
    OUTSIDE,
    ids=[
        "parent",
        "hidden parent",
        "through a link",
        "absolute link",
        "hard link",
        "device",
        "chain",
        "long chain",
        "over a link",
    ],
)
async def test_an_archive_cannot_reach_outside_its_release(
    layout: Layout, tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    (layout.data_dir / "source").mkdir()
    (tmp_path / "source").mkdir()
    packed = archive(tmp_path / "evil.tar", members)
    with pytest.raises(Refused, match=r"evil\.tar"):
        await prepare(APP, spec(archive=packed), layout)
    assert not [path for path in tmp_path.rglob("evil*") if path != packed]
    assert list(layout.app(APP).releases.glob("[!.]*")) == []


async def test_an_absolute_name_lands_inside(layout: Layout, tmp_path: Path) -> None:
    packed = archive(tmp_path / "a.tar", [(member("/tmp/tako-test-evil"), b"x")])
    prepared = await prepare(APP, spec(archive=packed), layout)
    assert names(prepared.path) == ["tmp", "tmp/tako-test-evil"]


@pytest.mark.parametrize("content", [b"", b"not a tar at all", b"\x1f\x8b\x08garbage"])
async def test_a_damaged_archive_is_refused(layout: Layout, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(Refused, match=r"a\.tar\.gz"):
        await prepare(APP, spec(archive=tmp_path / "a.tar.gz"), layout)


async def test_a_missing_source_is_refused_by_name(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"no-such does not exist; create it or correct spec\.source"):
        await prepare(APP, spec(path=tmp_path / "no-such"), layout)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
async def test_an_unreadable_source_is_refused_by_name(layout: Layout, source: Path) -> None:
    (source / "main.py").chmod(0)
    with pytest.raises(Refused, match=r"main\.py"):
        await prepare(APP, spec(path=source), layout)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"app_dir": "nowhere"}, "spec.appDir 'nowhere' is not a directory"),
        ({"runtime": Runtime.NODE, "main": "server.js"}, "spec.main 'server.js' is not a file"),
        ({"runtime": Runtime.PYTHON_ASGI, "main": "server"}, "module:callable"),
    ],
)
async def test_an_entry_that_is_not_there_is_refused_before_anything_starts(
    layout: Layout, source: Path, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        await prepare(APP, spec(path=source, **fields), layout)
    assert not layout.app(APP).release("v1").exists()


async def test_a_fifo_in_the_source_is_refused(layout: Layout, source: Path) -> None:
    os.mkfifo(source / "pipe")
    with pytest.raises(Refused, match="pipe, which is neither a file, a directory nor a link"):
        await prepare(APP, spec(path=source), layout)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Layout]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system to fill")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    yield Layout(small)
    subprocess.run(["umount", "-l", str(small)], check=True)


async def test_a_full_disk_passes_and_leaves_no_half_release(small_disk: Layout, source: Path) -> None:
    (source / "big").write_bytes(b"x" * 2_000_000)
    with pytest.raises(RetryLater, match="the disk is full"):
        await prepare(APP, spec(path=source), small_disk)
    assert list(small_disk.app(APP).releases.glob("[!.]*")) == [] and list(small_disk.tmp.iterdir()) == []


def test_current_moves_atomically_and_only_when_it_must(layout: Layout) -> None:
    dirs = layout.app(APP)
    activate(APP, "v1", layout)
    before = dirs.current.lstat()
    activate(APP, "v1", layout)
    assert dirs.current.lstat() == before
    activate(APP, "v2", layout)
    assert dirs.current.readlink() == dirs.release("v2")


def test_the_public_directory_is_below_the_apps_own(tmp_path: Path) -> None:
    (tmp_path / "web" / "public").mkdir(parents=True)
    assert public_dir(tmp_path, "web") == tmp_path / "web" / "public"
    assert public_dir(tmp_path, None) is None


def test_a_public_directory_that_leads_out_of_the_release_is_not_served(tmp_path: Path) -> None:
    release, elsewhere = tmp_path / "release", tmp_path / "elsewhere"
    (release / "dist").mkdir(parents=True)
    elsewhere.mkdir()
    (release / "public").symlink_to("dist")
    assert public_dir(release, None) == release / "public"
    (release / "public").unlink()
    (release / "public").symlink_to(elsewhere)
    assert public_dir(release, None) is None
    (release / "public").unlink()
    (release / "public").write_text("a file")
    assert public_dir(release, None) is None
