#!/usr/bin/env bash
# Compares a running server with its own description: contract.sh [EXAMPLES] [postgres://…]
# Each operation gets so many examples (100), as nobody, as somebody who is signed in, and about a room of theirs.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

readonly schemathesis_version=4.32.5

main() {
  local examples=${1:-100}
  export KLIEG_DATABASE_URL=${2:-}
  [ -n "$KLIEG_DATABASE_URL" ] || unset KLIEG_DATABASE_URL
  install_schemathesis
  work=$(mktemp -d)
  trap stop EXIT
  start

  local token room
  token=$(post /auth/login '{"username":"Contract"}' | field accessToken)
  room=$(post /rooms '{"title":"Contract","reusable":true}' "$token" | field id)
  run nobody "$examples"
  run somebody "$examples" --header "Authorization: Bearer $token"
  run owner "$examples" --header "Authorization: Bearer $token"
  kill -0 "$server" || die "the server is gone: $(tail -n 5 "$work/log")"
  if grep -E 'panicked|"ERROR"|ERROR' "$work/log"; then die "the server's log has errors"; fi
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

start() {
  "${KLIEG_BIN:-$target_dir/debug/klieg}" --dev --data "$work/data" --http 127.0.0.1:0 --media 127.0.0.1:0 >"$work/out" 2>"$work/log" &
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
  rm -rf "$work"
}

# run NAME EXAMPLES [OPTION…]
run() {
  local name=$1 examples=$2
  shift 2
  say "The contract as $name: $examples examples of each operation"
  # 412 is for another ETag, 422 for what no schema can say: a cursor of another server, a title of nothing but marks, a
  # moment in the past. Who says too much waits (429).
  {
    echo '[checks]'
    echo 'positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422", "429"]'
    if [ "$name" = owner ]; then printf '[parameters]\n"path.id" = "%s"\n' "$room"; fi
  } >"$work/schemathesis.toml"
  "$venv/bin/st" --config-file "$work/schemathesis.toml" --no-color run "$url/api/v1/openapi.json" --checks all \
    --max-examples "$examples" --continue-on-failure --warnings off "$@"
}

# post PATH BODY [TOKEN]
post() {
  local authorization=()
  [ $# -lt 3 ] || authorization=(--header "Authorization: Bearer $3")
  curl --silent --fail --header 'Content-Type: application/json' "${authorization[@]}" --data "$2" "$url/api/v1$1"
}

field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

main "$@"
