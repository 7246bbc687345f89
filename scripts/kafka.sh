#!/usr/bin/env bash
# Lets a server that is built with Kafka read orders from a real broker: kafka.sh [TEST]. The broker's jars are those of
# scripts/kafka/pom.xml, by the checksums beside it; the tests start it in a folder of their own.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

readonly jars=$target_dir/kafka/jars
# Names and checksums; what Maven brings in addition, or in another version, is not run.
readonly list=$root/scripts/kafka/jars.sha256
# With the whole workspace, so that what both builds use is built once.
readonly with_kafka=(--locked --workspace --features klieg-signaling/kafka)

main() {
  fetch_jars
  say "Orders from Kafka"
  cargo clippy "${with_kafka[@]}" --all-targets --quiet -- --deny warnings
  KLIEG_KAFKA_JARS=$jars cargo test "${with_kafka[@]}" --test kafka -- "$@"
  cargo test "${with_kafka[@]}" --lib -- kafka config
}

fetch_jars() {
  are_there && return
  say "Fetching Apache Kafka"
  rm -rf "$jars"
  mvn --batch-mode --quiet --file "$root/scripts/kafka/pom.xml" \
    dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$jars"
  are_there || die "the jars of Kafka are not those of scripts/kafka/jars.sha256"
}

# Whether all jars are as listed, and there are no others.
are_there() {
  [ -d "$jars" ] || return 1
  [ "$(find "$jars" -type f | wc -l)" = "$(wc -l <"$list")" ] || return 1
  (cd "$jars" && sha256sum --check --quiet --strict "$list")
}

main "$@"
