#!/usr/bin/env bash
# Compares a running server with its own description: contract.sh [EXAMPLES] [postgres | postgres://…]
# Each operation gets so many examples (100), as nobody, as somebody who is signed in, as an admin, and about a room of
# one's own, and a few without --dev; on SQLite, on a server of PostgreSQL that is started for it (`postgres`), or on the one of the URL.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

readonly schemathesis_version=4.32.5

klieg=${KLIEG_BIN:-$target_dir/debug/klieg}
server='' cluster=''

main() {
  local examples=${1:-100}
  install_schemathesis
  work=$(mktemp -d)
  trap stop EXIT
  case ${2:-} in
    '') ;;
    postgres) start_postgres ;;
    *) export KLIEG_DATABASE_URL=$2 ;;
  esac
  start --dev

  local token room admin
  admin=$(make_admin)
  token=$(post /auth/login '{"username":"Contract"}' | field accessToken)
  room=$(post /rooms '{"title":"Contract","reusable":true}' "$token" | field id)
  run nobody "$examples"
  run somebody "$examples" --header "Authorization: Bearer $token"
  # A server that drains refuses most of what it is asked: that comes last.
  run admin "$examples" --header "Authorization: Bearer $admin" --exclude-path /admin/drain
  run owner "$examples" --header "Authorization: Bearer $token"
  run drained "$examples" --header "Authorization: Bearer $admin" --include-path /admin/drain
  check_log
  # Without `--dev` nobody signs in by name alone, and limits hold.
  kill "$server"
  wait "$server" || true
  start
  run closed "$((examples < 20 ? examples : 20))"
  check_log
}

check_log() {
  kill -0 "$server" || die "the server is gone: $(tail -n 5 "$work/log")"
  if grep -E 'panicked|"ERROR"|ERROR' "$work/log"; then die "the server's log has errors"; fi
}

# Makes the first account of an admin as operators do, and returns a token of theirs.
make_admin() {
  echo 'correct horse' | "$klieg" user add Root --role admin --data "$work/data" >/dev/null
  post /auth/login '{"username":"Root","password":"correct horse"}' | field accessToken
}

# A tool of the tests alone, in an environment of its own.
install_schemathesis() {
  venv=$target_dir/contract
  "$venv/bin/st" --version 2>/dev/null | grep -qF "$schemathesis_version" && return
  have python3 || die "python3 is missing"
  say "Installing schemathesis $schemathesis_version"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet "schemathesis==$schemathesis_version"
}

# A server for this run alone. It refuses to run as root.
start_postgres() {
  local port
  # Debian keeps its programs out of the path.
  programs=$(dirname "$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1 || command -v initdb)")
  cluster=$(mktemp -d)
  unprivileged=()
  if [ "$(id -u)" = 0 ]; then
    unprivileged=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    chown postgres: "$cluster"
  fi
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  (
    cd /
    "${unprivileged[@]}" "$programs/initdb" --username=klieg --auth=trust --encoding=UTF8 --locale=C --no-sync \
      --pgdata "$cluster/data" >/dev/null
    "${unprivileged[@]}" "$programs/pg_ctl" start --silent --wait --pgdata "$cluster/data" --log "$cluster/log" \
      --options "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    "${unprivileged[@]}" "$programs/createdb" --host=127.0.0.1 --port="$port" --username=klieg klieg
  )
  export KLIEG_DATABASE_URL=postgres://klieg@127.0.0.1:$port/klieg
}

start() {
  # On a busy machine it is read before the server's process has made it.
  : >"$work/out"
  # Without a secret no orders are taken, and every one is answered alike.
  KLIEG_ORDER_HOOK_SECRET=$(head -c 32 /dev/urandom | base64) "$klieg" "$@" --data "$work/data" --http 127.0.0.1:0 --media 127.0.0.1:0 >"$work/out" 2>"$work/log" &
  server=$!
  local tries
  for tries in $(seq 100); do
    url=$(sed -n 's/^klieg listening http=\([^ ]*\) .*/\1/p' "$work/out")
    [ -z "$url" ] || return 0
    kill -0 "$server" 2>/dev/null || die "the server does not start: $(cat "$work/log")"
    sleep 0.1
  done
  die "the server does not say where it listens after $tries tries"
}

stop() {
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  if [ -n "$cluster" ]; then
    (cd / && "${unprivileged[@]}" "$programs/pg_ctl" stop --silent --mode=immediate --pgdata "$cluster/data") || true
    rm -rf "$cluster"
  fi
  rm -rf "$work"
}

# run NAME EXAMPLES [OPTION…]
run() {
  local name=$1 examples=$2
  shift 2
  say "The contract as $name: $examples examples of each operation"
  # 412 is for another ETag, 422 for what no schema can say: a cursor of another list, a title of nothing but marks, a
  # moment in the past. Who says too much waits (429).
  {
    # Nobody stays nobody: the tool would make itself an account.
    echo '[auth]'
    echo 'auto-signup = false'
    echo '[checks]'
    echo 'positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422", "429"]'
    if [ "$name" = owner ]; then printf '[parameters]\n"path.id" = "%s"\n' "$room"; fi
  } >"$work/schemathesis.toml"
  # What the tool remembers of a run stands where it runs. With a database of examples it would spend two thirds of its
  # time on making passed ones smaller.
  (
    cd "$work"
    "$venv/bin/st" --config-file "$work/schemathesis.toml" --no-color run "$url/api/v1/openapi.json" --checks all \
      --max-examples "$examples" --continue-on-failure --generation-database none --warnings off "$@"
  )
}

# post PATH BODY [TOKEN]
post() {
  local authorization=()
  [ $# -lt 3 ] || authorization=(--header "Authorization: Bearer $3")
  curl --silent --fail --header 'Content-Type: application/json' "${authorization[@]}" --data "$2" "$url/api/v1$1"
}

field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

main "$@"
