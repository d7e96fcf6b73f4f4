"""What the generators print is read as they print it; the texts are theirs."""

from pathlib import Path

import pytest

from bench.proxy import load
from bench.proxy.cases import Case, Generator, cases
from bench.proxy.load import NotUnderstood, Seen

WRK = """Running 2s test @ https://localhost:18443/
  2 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    20.60ms   61.72ms 474.70ms   94.10%
    Req/Sec   539.76    309.71     1.08k    70.59%
  Latency Distribution
     50%    5.85ms
     75%    8.40ms
     90%   22.80ms
     99%  {p99}
  1928 requests in 2.09s, 278.66KB read
{errors}Requests/sec:    921.98
Transfer/sec:    133.25KB
"""

H2LOAD = """TLS Protocol: TLSv1.3
Application protocol: {protocol}
finished in 3.00s, 5333.33 req/s, 375.34KB/s
requests: 16067 total, 16144 started, 16067 done, 16000 succeeded, 67 failed, 67 errored, 0 timeout
status codes: 16000 2xx, 0 3xx, 0 4xx, 0 5xx
"""

S_TIME = """Collecting connection statistics for 3 seconds
****

1142 connections in 0.87s; 1312.64 connections/user sec, bytes read 0
1142 connections in 4 real seconds, 0 bytes read per connection
"""


@pytest.mark.parametrize(
    ("p99", "milliseconds"),
    [("370.31ms", 370.31), ("900.00us", 0.9), ("1.71s", 1710.0)],
    ids=["milliseconds", "microseconds", "seconds"],
)
def test_wrks_percentile_is_read_in_any_unit(p99: str, milliseconds: float) -> None:
    seen = load.wrk(WRK.format(p99=p99, errors=""))
    assert seen.requests_per_second == 921.98
    assert seen.p99_ms == pytest.approx(milliseconds)
    assert seen.errors == 0


def test_every_kind_of_wrks_errors_counts() -> None:
    errors = "  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 50000\n"
    assert load.wrk(WRK.format(p99="1.00ms", errors=errors)).errors == 54321


def test_a_generator_that_says_nothing_is_not_taken_for_a_slow_proxy() -> None:
    with pytest.raises(NotUnderstood, match="unable to connect"):
        load.wrk("unable to connect to localhost:1 Connection refused\n")


def test_h2load_tells_rate_and_errors_and_its_log_the_percentile() -> None:
    log = [f"1795525500550770\t200\t{taken}" for taken in range(1, 101)]
    assert load.h2load(H2LOAD.format(protocol="h2"), log) == Seen(5333.33, 0.099, 67)


def test_a_proxy_without_http2_is_not_measured_as_one_with() -> None:
    with pytest.raises(NotUnderstood, match="HTTP/2"):
        load.h2load(H2LOAD.format(protocol="http/1.1"), [])


def test_handshakes_of_all_processes_are_divided_by_the_time_they_really_took() -> None:
    assert load.s_time([S_TIME, S_TIME], 4.0).requests_per_second == 571.0


@pytest.mark.parametrize(("count", "p99"), [(1, 1), (100, 99), (1000, 990)])
def test_a_percentile_is_a_sample(count: int, p99: int) -> None:
    assert load.percentile(list(range(1, count + 1)), 0.99) == p99


@pytest.mark.parametrize("case", cases(9800), ids=lambda case: case.name)
def test_all_load_goes_to_this_machine(case: Case) -> None:
    commands = load.commands(case, 4443, 7, Path("/log"))
    assert len(commands) == (case.connections if case.generator == Generator.S_TIME else 1)
    for argv in commands:
        assert [word for word in argv if "localhost:4443" in word]
