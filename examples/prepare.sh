#!/usr/bin/env bash
# Gets the examples ready to run from their directories: `examples/prepare.sh DATA_DIR`.
#
# Puts node, bun and python with the SDK below DATA_DIR/runtimes, where tako-server looks for them, and
# installs the JavaScript SDK of this repository into the examples. A second run does only what has changed.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 DATA_DIR" >&2; exit 2; }
mkdir -p "$1/runtimes"
runtimes=$(cd "$1/runtimes" && pwd)
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

fingerprint() { # of the files that decide what an installation contains
    find "$@" -type f -not -path '*/__pycache__/*' -not -path '*.egg-info/*' -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
}

same() { # same STAMP TEXT: was this already done?
    [ "$(cat "$1" 2>/dev/null)" = "$2" ]
}

install_binary() { # install_binary FROM TO; a link where possible, because these are 100 MB each
    [ "$1" -ef "$2" ] && return
    mkdir -p "$(dirname "$2")"
    ln -f "$1" "$2" 2>/dev/null || cp "$1" "$2"
}

prepare_python() {
    local version venv wanted
    version=$("$python" -c 'import platform; print(platform.python_version())')
    venv="$runtimes/python/$version"
    wanted=$(fingerprint sdks/python/src sdks/python/pyproject.toml)
    same "$venv/.tako-sdk" "$wanted" && return
    echo "== python $version with sdks/python"
    "$python" -m venv --clear "$venv"
    # Built from a copy: setuptools leaves its files in the directory it builds from.
    local copy
    copy=$(mktemp -d)
    cp -r sdks/python/src sdks/python/pyproject.toml "$copy"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$copy[fast]"
    rm -rf "$copy"
    echo "$wanted" >"$venv/.tako-sdk"
}

build_javascript_sdk() {
    # npm ci deletes and copies everything again; the lock file's copy tells whether there is a need.
    if ! cmp -s package-lock.json node_modules/.installed-lock; then
        echo "== sdks/javascript, node and bun"
        npm ci --no-audit --no-fund --loglevel=error
        cp package-lock.json node_modules/.installed-lock
    fi
    local wanted
    wanted=$(fingerprint src package.json tsconfig.json)
    same dist/.built-from "$wanted" && return
    npm run --silent build
    echo "$wanted" >dist/.built-from
}

install_javascript_runtimes() {
    local from=sdks/javascript/node_modules
    local node=$from/node/bin/node bun=$from/bun/bin/bun.exe
    install_binary "$node" "$runtimes/node/$("$node" -p process.versions.node)/bin/node"
    install_binary "$bun" "$runtimes/bun/$("$bun" --version)/bun"
}

install_example() { # install_example NAME
    local wanted
    wanted=$(fingerprint sdks/javascript/dist sdks/javascript/package.json "examples/$1/package.json")
    same "examples/$1/node_modules/.tako-sdk" "$wanted" && return
    echo "== examples/$1"
    rm -rf "examples/$1/node_modules"
    # A copy, not a link to the SDK: a release is self-contained.
    (cd "examples/$1" && npm install --install-links --no-audit --no-fund --no-package-lock --loglevel=error)
    echo "$wanted" >"examples/$1/node_modules/.tako-sdk"
}

prepare_python
command -v npm >/dev/null || {
    echo "npm is not installed (apt-get install npm): the examples node and bun will not start" >&2
    exit
}
(cd sdks/javascript && build_javascript_sdk)
install_javascript_runtimes
install_example node
install_example bun
