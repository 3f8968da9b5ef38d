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
# They come under names of our own, and go by those that kubeadm looks for.
own=docker.io/towtank/
ctr --namespace k8s.io images list --quiet | while read -r name; do
    [ "${name#"$own"}" != "$name" ] || continue
    ctr --namespace k8s.io images tag "$name" "${name#"$own"}"
    ctr --namespace k8s.io images remove "$name"
done
kill "$daemon"
wait "$daemon" || true
rm -f /tmp/containerd.log
