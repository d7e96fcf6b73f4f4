#!/usr/bin/env bash
# Builds, lints and tests the SDKs, each with its own toolchain.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "== sdks/python"
(cd sdks/python && ../../.venv/bin/mypy && ../../.venv/bin/python -m pytest)

echo "== sdks/javascript"
cd sdks/javascript
# npm ci deletes and copies everything again; the lock file's copy tells whether there is a need.
if ! cmp -s package-lock.json node_modules/.installed-lock; then
    npm ci --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/.installed-lock
fi
npm run --silent lint
npm test --silent
