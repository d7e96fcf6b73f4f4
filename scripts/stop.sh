#!/usr/bin/env bash
# Stops the demo: its server, its proxy and its applications. `make demo` brings all of them back.
set -euo pipefail
cd "$(dirname "$0")/.."

data_dir=$(realpath -m "${DATA_DIR:-.demo}")

# A server that is told to stop stops its applications too. When it was killed instead, they go on, on purpose:
# so they are looked up by what is theirs alone, a working directory or an argument below the data directory.
mine() {
    local dir pid
    for dir in /proc/[0-9]*; do
        pid=${dir#/proc/}
        [ "$pid" = $$ ] && continue
        if [[ "$(readlink "$dir/cwd" 2>/dev/null)/" == "$data_dir"/* ]] ||
            tr '\0' '\n' 2>/dev/null <"$dir/cmdline" | grep -qE "^$data_dir(/|\$)"; then
            echo "$pid"
        fi
    done
}

signal() { # signal NAME: true when there was anybody to send it to
    local pids
    mapfile -t pids < <(mine)
    [ "${#pids[@]}" -gt 0 ] && kill "-$1" "${pids[@]}" 2>/dev/null
}

stop_server() {
    local pid
    pid=$(tr -d ' ' 2>/dev/null <"$data_dir/server.lock") || return 0
    grep -qz tako-server "/proc/$pid/cmdline" 2>/dev/null || return 0
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 600); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null || true
}

stop_server
for _ in $(seq 50); do
    signal TERM || { echo "stopped"; exit 0; }
    sleep 0.2
done
signal KILL || true
echo "stopped (some processes had to be killed)"
