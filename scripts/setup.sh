#!/usr/bin/env bash
# Creates .venv and installs Tako into it, tako-proxyd included. `setup.sh dev` adds what the tests need.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh

extra=${1:-}
stamp=".venv/.installed${extra:+-$extra}"

# What an installed package was built from. Python sources are not in it: the installation is
# editable, so they are always current.
fingerprint() {
    {
        find proxyd \( -path proxyd/target -o -path proxyd/fuzz \) -prune -o -type f -print
        find pyproject.toml sdks/python/pyproject.toml scripts/setup.sh
    } 2>/dev/null | LC_ALL=C sort | xargs -r sha256sum | sha256sum
}

# An installation for the tests serves the demo as well.
wanted=$(fingerprint)
for done in "$stamp" .venv/.installed-dev; do
    [ "$(cat "$done" 2>/dev/null)" = "$wanted" ] && exit
done

require_tools
echo "== installing Tako into .venv (compiles tako-proxyd; the first time takes minutes)"
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable ".${extra:+[$extra]}"
if [ "$extra" = dev ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable "sdks/python[dev]"
fi
fingerprint >"$stamp"
