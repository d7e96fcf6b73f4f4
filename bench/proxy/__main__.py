"""`make bench-proxy`: all cases, about 20 minutes; `--quick` and `--only CASE` print and write nothing."""

import argparse
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import document, machine
from bench.proxy import load, measure, packages, report, sides
from bench.proxy.cases import Case, cases, most_connections
from bench.proxy.contenders import CONTENDERS, PROXYD
from bench.proxy.sides import Common
from bench.table import Table

WINDOW_SECONDS, QUICK_WINDOW_SECONDS = 5.0, 2.0
IDLE, QUICK_IDLE = 5000, 500
INTRODUCTION = """## Proxies side by side

Written by `make bench-proxy`. HTTPS (TLS 1.3, ECDSA P-256) with connections kept on both sides; two workers or threads
each; load, proxy and application share the machine, while the other proxies idle. Each proxy finds the host among 201,
adds X-Forwarded-For, X-Forwarded-Proto and X-Request-ID, gives the id back, limits what a client address may have at
once (but Caddy, which has no such limit), writes a record for each request and counts for its metrics. The application
is `bench/proxy/upstream.c`, two system calls a request; the configurations are beside it.

In each round all proxies are measured, in shuffled order. "× nginx" is the median of the ratios within a round, which
says more than the rates where a machine's speed changes from minute to minute; CPU per request (user and system, from
/proc) is the steadiest figure. Both are of the time after all have connected; so is p99, with 1,000 connections or more
that of 32 further ones. Errors are failed connections, requests without an answer within 60 s and answers other than
2xx. Memory is under this load, shared pages counted once (PSS).
"""


def main() -> None:
    arguments = _arguments()
    _raise_file_limit()
    packages.install_missing()
    wanted = [case for case in cases(most_connections()) if _is_wanted(case, arguments)]
    window = QUICK_WINDOW_SECONDS if arguments.quick else WINDOW_SECONDS
    about = machine.describe()
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=PROXYD, check=True)
    # Killed politely, it ends what it started as on Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    root = Path(tempfile.mkdtemp(prefix="tako-bench-proxy-"))
    root.chmod(0o755)
    tables: list[Table] = []
    try:
        common = sides.make_common(root)
        for case in wanted:
            tables.append(_measure(case, common, 1 if arguments.quick else case.rounds, window))
            print(tables[-1].markdown("###"), flush=True)
        if arguments.only in (None, "idle"):
            tables.append(_measure_idle(common, QUICK_IDLE if arguments.quick else IDLE))
            print(tables[-1].markdown("###"), flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if not arguments.quick and not arguments.only:
        section = "\n".join([INTRODUCTION, about, _versions(), *(each.markdown("###") for each in tables)])
        document.write(document.with_proxies_part(document.read(), section))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.proxy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of the most telling cases")
    names = [*(case.name for case in cases(0)), "idle"]
    parser.add_argument("--only", choices=names, metavar="CASE", help=f"one of {', '.join(names)}")
    return parser.parse_args()


def _is_wanted(case: Case, arguments: argparse.Namespace) -> bool:
    if arguments.only:
        return bool(case.name == arguments.only)
    return case.is_quick or not arguments.quick


def _measure(case: Case, common: Common, count: int, window_seconds: float) -> Table:
    contenders = [each for each in CONTENDERS if each.serves_files or not case.is_static]
    rounds = []
    print(f"{case.title}", flush=True)
    with ExitStack() as stack:
        at_once = case.connections * case.streams
        running = [stack.enter_context(sides.start(each, common, at_once)) for each in contenders]
        for _ in range(count):
            samples = {}
            for side in random.sample(running, len(running)):
                name = side.contender.name
                try:
                    samples[name] = measure.run(side, case, window_seconds)
                    print(f"  {name}: {samples[name]}", flush=True)
                except load.NotUnderstood as error:
                    print(f"  {name}: {error}", flush=True)
            rounds.append(samples)
    return report.table(case, rounds, [each.name for each in contenders])


def _measure_idle(common: Common, count: int) -> Table:
    sizes = {}
    for contender in CONTENDERS:
        with sides.start(contender, common, count) as side:
            if not sides.keeps_records(side):
                print(f"  {contender.name} keeps no access records: it is measured without", flush=True)
            sizes[contender.name] = measure.idle_bytes(side, count)
            print(f"  {contender.name}: {sizes[contender.name]:.0f} bytes", flush=True)
    return report.idle_table(count, sizes)


def _versions() -> str:
    return ", ".join(f"{name} {version}" for name, version in packages.versions().items()) + ".\n"


def _raise_file_limit() -> None:
    """Everything started inherits it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
