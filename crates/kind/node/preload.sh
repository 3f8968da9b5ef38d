#!/bin/bash
# preload.sh ARCHIVE: imports images into the store of the node's containerd, as far as they can be while an image is built: not unpacked.
set -euo pipefail
containerd >/tmp/containerd.log 2>&1 &
daemon=$!
for _ in {1..100}; do
    ctr version >/dev/null 2>&1 && break
    sleep 0.2
done
ctr --namespace k8s.io images import --all-platforms --no-unpack "$1" || {
    cat /tmp/containerd.log
    exit 1
}
kill "$daemon"
wait "$daemon" || true
rm -f /tmp/containerd.log
