"""tako-proxyd beside nginx, HAProxy and Caddy: the same certificate, routes, application and load, on this machine.

`python -m bench.proxy` measures all of it, rounds of all proxies in shuffled order, and writes its part of
docs/benchmarks.md. Load goes to loopback only; whatever was started is ended, also on Ctrl-C.
"""
