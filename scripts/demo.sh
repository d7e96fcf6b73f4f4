#!/usr/bin/env bash
# From a fresh clone to four applications served over HTTPS, one of them killed and healed.
set -euo pipefail
cd "$(dirname "$0")/.."

data_dir=$(realpath -m "${DATA_DIR:-.demo}")
http_port=${HTTP_PORT:-8080}
https_port=${HTTPS_PORT:-8443}
api_port=${API_PORT:-6440}
metrics_port=${METRICS_PORT:-9898}
stop_arguments=
[ "$data_dir" = "$PWD/.demo" ] || stop_arguments=" DATA_DIR=$data_dir"
export TAKO_API_SOCKET="$data_dir/api.sock"
export PATH="$PWD/.venv/bin:$PATH"

declared=()
for file in examples/*/app.yaml; do declared+=(-f "$file"); done

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() { printf '\033[2m$ %s\033[0m\n' "$*"; "$@"; }

server_pid() { # written by the server itself, so that it is right whoever started it
    tr -d ' ' 2>/dev/null <"$data_dir/server.lock"
}

running() { # is the pid of the last start still a tako-server, and does it answer?
    local pid
    pid=$(server_pid) || return 1
    grep -qz tako-server "/proc/$pid/cmdline" 2>/dev/null && tako get hosts >/dev/null 2>&1
}

start_server() {
    if running; then
        echo "tako-server is running already (pid $(server_pid))"
        local port
        port=$(tako get hosts -o jsonpath='{.items[0].status.httpsPort}')
        [ "${port:-$https_port}" = "$https_port" ] && return
        echo "but it serves on port $port, not on $https_port: make stop$stop_arguments, then make demo again" >&2
        exit 1
    fi
    # Its own session: the server outlives this script and the terminal.
    setsid tako-server --data-dir "$data_dir" --http-port "$http_port" --https-port "$https_port" \
        --api-port "$api_port" --metrics-port "$metrics_port" --isolation off >>"$data_dir/server.log" 2>&1 </dev/null &
    local started=$! waited=0
    until running; do
        if ! kill -0 "$started" 2>/dev/null || [ $((waited += 1)) -gt 150 ]; then
            echo "tako-server did not come up; the end of $data_dir/server.log:" >&2
            tail -n 20 "$data_dir/server.log" >&2
            exit 1
        fi
        sleep 0.2
    done
}

examples() { # the names of what this script declares; the server may run applications of the visitor's own
    awk '/^  name:/ {print $2}' examples/*/app.yaml
}

host_of() { # host_of APP: the host name of its first route
    tako get app "$1" -n production -o json |
        python -c 'import json, sys, urllib.parse; print(urllib.parse.urlsplit(json.load(sys.stdin)["status"]["url"]).hostname)'
}

visit() { # visit HOST: one verified HTTPS request
    # --resolve: not every resolver knows that names under localhost are this machine (RFC 6761).
    curl --silent --show-error --fail --max-time 20 --cacert "$data_dir/certs/$1/fullchain.pem" \
        --resolve "$1:$https_port:127.0.0.1" "https://$1:$https_port/"
}

instances_of() { # instances_of APP: "name pid" of those that take requests
    tako get instances -n production -o json | python -c '
import json, sys
for instance in json.load(sys.stdin)["items"]:
    if instance["spec"]["app"] == sys.argv[1] and instance.get("status", {}).get("state") == "Healthy":
        print(instance["metadata"]["name"], instance["status"]["pid"])' "$1"
}

kill_and_watch() { # kill_and_watch APP HOST
    local before after started healthy
    healthy=$(instances_of "$1")
    before=${healthy%%$'\n'*}
    echo "instance and pid before:  $before"
    show kill -9 "${before#* }"
    started=$(date +%s%N)
    # One that was not there before: the others of the same app prove nothing.
    until after=$(instances_of "$1" | grep -vxF "$healthy"); do
        [ $((($(date +%s%N) - started) / 1000000000)) -lt 30 ] || { echo "not healed within 30 s" >&2; exit 1; }
        sleep 0.05
    done
    echo "instance and pid after:   $after   ($((($(date +%s%N) - started) / 1000000)) ms later)"
    visit "$2" >/dev/null
}

main() {
    scripts/setup.sh
    mkdir -p "$data_dir"
    say "preparing the examples"
    PYTHON="$PWD/.venv/bin/python" examples/prepare.sh "$data_dir"

    say "starting tako-server, data under ${data_dir#"$PWD"/}"
    start_server

    say "declaring the applications"
    show tako apply "${declared[@]}" --wait
    echo
    show tako get apps -A

    say "each answers over HTTPS, its certificate verified"
    local app host
    for app in $(examples); do
        host=$(host_of "$app")
        printf '%-45s ' "https://$host:$https_port/"
        visit "$host"
        echo
    done

    say "an application that is killed comes back"
    app=hello-asgi
    kill_and_watch "$app" "$(host_of "$app")"

    say "what to try next"
    cat <<NEXT
  export PATH="\$PWD/.venv/bin:\$PATH"      # then tako finds the server by itself
  tako describe app/$app -n production
  tako scale app/$app -n production --instances 3
  tako logs app/$app -n production -f
  tako drift
  tako kubeconfig > ${data_dir#"$PWD"/}/kubeconfig && kubectl --kubeconfig ${data_dir#"$PWD"/}/kubeconfig get apps -A
  tako delete -f examples/bun/app.yaml     # or edit one, and tako apply -f it again

  make stop$stop_arguments                                # stops the server and everything it runs
NEXT
}

main
