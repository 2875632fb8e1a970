#!/bin/sh
# Installs every client the conformance suite needs: kcat (apt), the Python clients (a venv), kafkajs (npm) and the
# Java tools (Maven). Quick when all is there already; a client that cannot be installed fails loudly.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work="$root/.ci/work"
venv="$work/venv"
libs="$work/kafka/libs"
node="$work/node"
mkdir -p "$work/kafka"

die() { echo "conformance setup: $*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else die "need root to run: $*"; fi
}

# A stamp holds the checksum of what described the installation, so that a changed pin reinstalls.
sum() { cat "$@" | cksum | tr ' ' '-'; }

need=
command -v kcat >/dev/null || need="$need kcat"
command -v python3 >/dev/null || need="$need python3"
python3 -c 'import venv, ensurepip' 2>/dev/null || need="$need python3-venv"
command -v java >/dev/null || need="$need default-jre-headless"
command -v node >/dev/null || need="$need nodejs"
command -v npm >/dev/null || need="$need npm"
if [ ! -f "$libs/.stamp" ]; then command -v mvn >/dev/null || need="$need maven"; fi
if [ -n "$need" ]; then
    echo "conformance setup: apt-get install$need"
    as_root apt-get update -qq || die "apt-get update failed"
    # shellcheck disable=SC2086 # a list of package names
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need >/dev/null \
        || die "cannot install:$need"
fi

want=$(sum "$here/requirements.txt")
if [ "$(cat "$venv/.stamp" 2>/dev/null || true)" != "$want" ]; then
    echo "conformance setup: Python clients"
    rm -rf "$venv"
    python3 -m venv "$venv" || die "cannot make a Python venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r "$here/requirements.txt" \
        || die "cannot install the Python clients"
    echo "$want" > "$venv/.stamp"
fi
"$venv/bin/python" -c 'import aiokafka, kafka, confluent_kafka, lz4.frame, snappy, zstandard' || die "a Python client does not load"

want=$(sum "$here/node/package.json")
if [ "$(cat "$node/.stamp" 2>/dev/null || true)" != "$want" ]; then
    echo "conformance setup: kafkajs"
    rm -rf "$node"
    mkdir -p "$node"
    cp "$here/node/package.json" "$node/"
    npm install --prefix "$node" --no-audit --no-fund --silent || die "cannot install kafkajs"
    echo "$want" > "$node/.stamp"
fi
NODE_PATH="$node/node_modules" node -e 'require("kafkajs")' || die "kafkajs does not load"

want=$(sum "$here/java/pom.xml")
if [ "$(cat "$libs/.stamp" 2>/dev/null || true)" != "$want" ]; then
    echo "conformance setup: Java tools"
    command -v mvn >/dev/null || as_root apt-get install -y -qq --no-install-recommends maven >/dev/null || die "cannot install maven"
    rm -rf "$libs"
    mvn -B -q -f "$here/java/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$libs" \
        || die "cannot assemble the Java class path"
    echo "$want" > "$libs/.stamp"
fi
ls "$libs"/kafka-tools-*.jar >/dev/null 2>&1 || die "no kafka-tools jar in $libs"
java -version >/dev/null 2>&1 || die "java does not run"
kcat -V >/dev/null 2>&1 || die "kcat does not run"
echo "conformance setup: ready"
