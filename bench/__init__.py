"""What Tako costs, measured on a real server on this machine; `python -m bench` writes docs/benchmarks.md."""
