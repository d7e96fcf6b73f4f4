#!/usr/bin/env bash
# Finds what this machine must bring along, or says which package to install. Sourced; defines
# `require_tools` and, after it, $python.

readonly oldest_node=20

find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        # pyenv puts names on PATH for versions it does not have, so only running it tells.
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

at_least() { # at_least WANTED SEEN
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

require_tools() {
    local missing=() oldest_rust seen
    # shellcheck disable=SC2034  # read by whoever sources this
    python=$(find_python) ||
        missing+=("Python 3.11 or newer with venv      Debian, Ubuntu: apt-get install python3 python3-venv")
    command -v cc >/dev/null ||
        missing+=("a C compiler                        Debian, Ubuntu: apt-get install build-essential")
    command -v curl >/dev/null ||
        missing+=("curl                                Debian, Ubuntu: apt-get install curl")
    oldest_rust=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' proxyd/Cargo.toml)
    seen=$(cargo --version 2>/dev/null | cut -d' ' -f2)
    if [ -z "$seen" ] || ! at_least "$oldest_rust" "$seen"; then
        missing+=("Rust $oldest_rust or newer (found: ${seen:-none})      rustup.rs, or apt-get install rustup && rustup default stable")
    fi
    seen=$(node --version 2>/dev/null | tr -d v)
    if [ -z "$seen" ] || ! at_least "$oldest_node" "$seen"; then
        missing+=("Node.js $oldest_node or newer (found: ${seen:-none})     nodejs.org, or apt-get install nodejs npm")
    elif ! command -v npm >/dev/null; then
        missing+=("npm                                 Debian, Ubuntu: apt-get install npm")
    fi
    [ "${#missing[@]}" -eq 0 ] && return
    echo "This machine lacks:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    return 1
}
