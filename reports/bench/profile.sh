#!/usr/bin/env bash
# Where a path's time goes: starts ottla on a clean data directory, puts one kind of load on it, and shows its CPU time, its context
# switches, and what a tool saw of the measured part.
#
#   profile.sh OTTLA LOAD large|small|100b|lz4|consume|e2e|idle [perf|strace]
#
# LOAD is the load generator: (cd load && go build -o /somewhere/load .). perf needs linux-perf, strace itself slows small requests
# down, so its counts are good and its times are not.
set -euo pipefail
ottla=$1 load=$2 mode=$3 tool=${4:-none}
work=$(mktemp -d)
port=$((20000 + $$ % 20000))
at=(-broker "127.0.0.1:$port")
"$ottla" server --data-dir "$work/data" --log-level warn --override "listeners=PLAINTEXT://127.0.0.1:$port" \
  --override num.partitions=1 >"$work/log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null || true; rm -rf "$work"' EXIT
sleep 1
"$load" produce "${at[@]}" -bytes 67108864 -linger 5ms >/dev/null
case $mode in
  large) run=(produce "${at[@]}" -bytes 1610612736 -linger 5ms) ;;
  small) run=(produce "${at[@]}" -bytes 536870912 -batch 16384) ;;
  100b) run=(produce "${at[@]}" -bytes 536870912 -record 100 -linger 5ms) ;;
  lz4) run=(produce "${at[@]}" -bytes 1073741824 -codec lz4 -linger 5ms) ;;
  consume)
    "$load" produce "${at[@]}" -bytes 2147483648 -linger 5ms >/dev/null
    run=(consume "${at[@]}" -bytes 2147483648)
    ;;
  e2e) run=(e2e "${at[@]}" -duration 6s -warm-for 1s) ;;
  idle) run=(sleep 10) ;;
  *) echo "profile.sh: $mode is no path" >&2 && exit 2 ;;
esac
[ "$mode" = idle ] || run=("$load" "${run[@]}")
# Memory that the host has handed out already (README.md, traps).
dd if=/dev/zero of="$work/warm" bs=1M count=3072 status=none && rm "$work/warm"

ticks() { awk '{ print $14 + $15 }' "/proc/$pid/stat"; }
switches() { cat /proc/$pid/task/*/status | awk '/^voluntary/ { v += $2 } /^nonvoluntary/ { n += $2 } END { print v, n }'; }
case $tool in
  perf) perf record -q -e cpu-clock -F 1999 -g -p $pid -o "$work/perf" >/dev/null 2>&1 & watcher=$! ;;
  strace) strace -c -f -p $pid -o "$work/strace" 2>/dev/null & watcher=$! ;;
esac
[ "$tool" = none ] || sleep 1
before=$(ticks)
read -r v0 n0 < <(switches)
"${run[@]}"
after=$(ticks)
read -r v1 n1 < <(switches)
echo "broker: $(((after - before) * 10)) ms of CPU, $((v1 - v0)) voluntary and $((n1 - n0)) other context switches"
[ "$tool" = none ] || { kill -INT "$watcher" && wait "$watcher" || true; }
case $tool in
  perf) # by system call or the program's own code, then by function
    perf report -i "$work/perf" --children -g none --percent-limit 2 --stdio 2>/dev/null | grep -v '^#' | awk 'NF { print $1, $2, $NF }' | head -70 ;;
  strace) head -14 "$work/strace" ;;
esac
