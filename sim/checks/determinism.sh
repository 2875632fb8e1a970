#!/usr/bin/env bash
# One seed, the same bytes: in debug and optimised, in another folder and environment; and while a world runs its thread asks the
# operating system for nothing but memory. clippy sees our own code alone; this sees what the libraries do too.
# Usage: sim/checks/determinism.sh DEBUG_SIM OPTIMISED_SIM (cargo build -p ottla-sim, the same with --profile trial)
set -euo pipefail
debug=$(realpath "$1") optimised=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v strace >/dev/null || { echo "strace is missing: apt-get install strace" >&2; exit 2; }

for scenario in echo broker broker-cached clients; do
  for seed in 3 7 11; do
    "$debug" run "$scenario" --seed "$seed" >"$work/debug"
    (cd / && env -i LANG=tr_TR.UTF-8 TZ=Asia/Kathmandu HOME=/nonexistent "$optimised" run "$scenario" --seed "$seed" >"$work/optimised")
    [ "$(wc -l <"$work/debug")" -ge 20 ] || { echo "$scenario, seed $seed: hardly a trace" >&2; exit 1; }
    cmp "$work/debug" "$work/optimised" || { echo "$scenario, seed $seed: debug and optimised differ" >&2; exit 1; }
  done
done

# What a thread that lives in a world may ask for, from the moment it has its name to its end.
memory='^(mmap|munmap|mremap|mprotect|madvise|brk|sched_getaffinity|gettid|sigaltstack|rt_sigaction|rt_sigprocmask|futex|exit)\(|^getrandom\(NULL, 0'
for scenario in broker clients; do
  # One arena: another one would make the allocator look at the system's overcommit setting when it shrinks.
  MALLOC_ARENA_MAX=1 strace -f -o "$work/calls" "$debug" run "$scenario" --seed 7 >"$work/traced"
  cmp "$work/traced" <("$debug" run "$scenario" --seed 7) || { echo "$scenario: the run differs under strace" >&2; exit 1; }
  thread=$(awk '/prctl\(PR_SET_NAME, "seed 7"/ { print $1; exit }' "$work/calls")
  [ -n "$thread" ] || { echo "$scenario: no thread of the world in the trace" >&2; exit 1; }
  awk -v t="$thread" '$1 == t && seen { $1 = ""; print substr($0, 2) } $1 == t && /PR_SET_NAME/ { seen = 1 }' "$work/calls" >"$work/world"
  grep -Eq '^(mmap|brk)\(' "$work/world" || { echo "$scenario: the world's thread asked for no memory: is the trace whole?" >&2; exit 1; }
  if grep -Ev "$memory|^\+\+\+ exited" "$work/world" >"$work/ambient"; then
    echo "$scenario: the world reached out of its simulation:" >&2
    head -5 "$work/ambient" >&2
    exit 1
  fi
done
echo "equal traces whatever the profile, in other folders and environments; no call but for memory"
