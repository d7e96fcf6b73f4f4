"""What an instance prints is kept, whoever is away."""

from e2e.host import Host, eventually


def current_log(host: Host, name: str) -> str:
    return (host.data_dir / "apps" / name / "production" / "logs" / "current.log").read_text()


def test_output_is_neither_lost_nor_doubled_while_the_server_is_killed_and_restarted(host: Host) -> None:
    host.apply(host.document("talk"))
    spoken = 0
    for _ in range(5):
        for _ in range(20):
            host.fetch("talk", f"/say?say=line-{spoken:05}")
            spoken += 1
        host.kill_server()
        for _ in range(20):
            host.fetch("talk", f"/say?say=line-{spoken:05}")
            spoken += 1
        host.start()
    eventually("the last line", lambda: f"line-{spoken - 1:05}" in current_log(host, "talk"))
    lines = [line.rpartition(" ")[2] for line in current_log(host, "talk").splitlines() if "line-" in line]
    assert lines == [f"line-{number:05}" for number in range(spoken)]


def test_the_last_words_of_a_killed_instance_are_kept(host: Host) -> None:
    host.apply(host.document("talk"))
    host.fetch("talk", "/say?say=last-words")
    host.kill_everything()
    host.start()
    eventually("the last words", lambda: "last-words" in current_log(host, "talk"))
    assert current_log(host, "talk").count("last-words") == 1


def records(host: Host, name: str, path: str) -> list[dict[str, str]]:
    """The fields of each record of requests for `path`; none of them needs quotes here."""
    lines = [
        line.partition(" [server] [proxy] INFO Request completed ") for line in current_log(host, name).splitlines()
    ]
    found = [dict(field.split("=", 1) for field in text.split(" ")) for _, known, text in lines if known]
    return [record for record in found if record["path"] == path]


def test_each_request_is_in_the_apps_log_once_whoever_was_away(host: Host) -> None:
    host.apply(host.document("talk"))
    for number in range(5):
        host.fetch("talk", f"/before/{number}")
    host.kill_server()
    for number in range(5):
        host.fetch("talk", f"/without-a-server/{number}")
    host.start()
    paths = [f"/{when}/{number}" for when in ("before", "without-a-server") for number in range(5)]
    eventually("all records", lambda: all(records(host, "talk", path) for path in paths))
    assert [len(records(host, "talk", path)) for path in paths] == [1] * len(paths)
    last = records(host, "talk", paths[-1])[0]
    instances = [each["metadata"]["name"] for each in host.documents("instances.tako.sh")]
    assert (last["app"], last["status"], last["handler"]) == ("talk/production", "200", "proxy")
    assert any(last["instance"] in name for name in instances)
