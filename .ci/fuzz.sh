#!/usr/bin/env bash
# A bounded fuzz run of every target, from the committed corpus: `.ci/fuzz.sh [SECONDS]` for each target. Needs nothing but rustup: the
# nightly compiler and cargo-fuzz are installed if they are missing. A crash ends it, and says how to see it again.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-20}
version=0.13.2 # of cargo-fuzz
tool=$PWD/.ci/work/cargo-fuzz-$version
# Set here as well, since this script also runs by itself. What .cargo/config.toml sets is for the simulator, which no target links.
unset RUSTFLAGS
rustup toolchain list | grep -q '^nightly-' || rustup toolchain install nightly --profile minimal
[ -x "$tool/bin/cargo-fuzz" ] || cargo install cargo-fuzz --version "$version" --locked --root "$tool" --target-dir .ci/work/cargo-fuzz-target
export PATH=$tool/bin:$PATH
# One target directory for all. No address sanitizer: no target links core/os, and nothing else of ours has an unsafe block; without it
# the build is shorter and a second tries more. Memory is bounded by the targets themselves (fuzz/src/lib.rs).
flags=(--fuzz-dir fuzz --target-dir fuzz/target --sanitizer none)
cargo +nightly fuzz build "${flags[@]}"
# What a run finds on the way goes to a folder of its own, not to the committed corpus.
one() {
  local target=$1 scratch=.ci/work/fuzz/$1
  rm -rf "$scratch" && mkdir -p "$scratch" "fuzz/artifacts/$target"
  if "fuzz/target/$triple/release/$target" "$scratch" "fuzz/corpus/$target" -max_total_time="$seconds" -rss_limit_mb=1024 \
    -timeout=20 -max_len=4096 -artifact_prefix="$PWD/fuzz/artifacts/$target/" >"$scratch.log" 2>&1; then
    printf -- '--- %s: %s\n' "$target" "$(tail -n 1 "$scratch.log")"
    return
  fi
  tail -n 60 "$scratch.log"
  local artifact
  artifact=$(sed -n 's/.*Test unit written to //p' "$scratch.log" | tail -n 1)
  printf '=== %s crashed; see it again, without a nightly compiler, with\n' "$target"
  printf '    cargo run -p ottla-fuzz-checks --bin reproduce -- %s %s\n' "$target" "${artifact:-FILE (none was written: see above)}"
  return 1
}
triple=$(rustc +nightly -vV | sed -n 's/^host: //p')
export -f one
export seconds triple
# The targets are independent: two at a time.
cargo +nightly fuzz list --fuzz-dir fuzz | xargs -P 2 -I{} bash -euo pipefail -c 'one {}'
