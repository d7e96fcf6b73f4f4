"""Tables of samples, and the document they are put into."""

from bench import document
from bench.proxy import report
from bench.proxy.cases import Case
from bench.proxy.measure import Sample

CASE = Case("64", "64 connections", 64)


def sample(rate: float, cpu: float = 10.0, p99: float | None = 1.0, errors: int = 0) -> Sample:
    return Sample(rate, cpu, p99, errors, 2**20)


def test_a_ratio_is_the_median_of_those_within_a_round() -> None:
    # The machine was ten times as fast in the last round; medians of rates alone would say 3.
    rounds = [
        {"nginx": sample(100), "tako-proxyd": sample(120)},
        {"nginx": sample(10), "tako-proxyd": sample(15)},
        {"nginx": sample(1000), "tako-proxyd": sample(1300)},
    ]
    (row,) = report.table(CASE, rounds, ["tako-proxyd"]).rows
    assert dict(zip(report.COLUMNS, row, strict=True))["× nginx"] == "1.30"


def test_errors_of_all_rounds_are_told() -> None:
    rounds = [{"nginx": sample(1, errors=2)}, {"nginx": sample(1, errors=3)}]
    (row,) = report.table(CASE, rounds, ["nginx"]).rows
    assert dict(zip(report.COLUMNS, row, strict=True))["errors"] == "5"


def test_who_cannot_do_a_case_has_a_row_without_figures() -> None:
    rounds = [{"nginx": sample(1, p99=None)}]
    nginx, haproxy = report.table(CASE, rounds, ["nginx", "HAProxy"]).rows
    assert nginx[report.COLUMNS.index("p99")] == "–"
    assert haproxy == ("HAProxy", *["–"] * (len(report.COLUMNS) - 1))


def test_each_writer_of_the_document_keeps_the_others_part() -> None:
    first = document.with_proxies_part("# Benchmarks\n\n## API\n", "## Proxies\n\nold")
    again = document.with_proxies_part(first, "## Proxies\n\nnew")
    assert "old" not in again
    assert again.startswith("# Benchmarks\n\n## API\n")
    rewritten = document.with_other_parts(again, "# Benchmarks\n\n## API, measured anew\n")
    assert document.proxies_part(rewritten) == document.proxies_part(again)
    assert document.with_proxies_part(rewritten, "## Proxies\n\nnew") == rewritten


def test_a_document_without_proxies_stays_without() -> None:
    assert document.with_other_parts("# Benchmarks\n", "# Benchmarks\n\nnew\n") == "# Benchmarks\n\nnew\n"
