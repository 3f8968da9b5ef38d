#!/bin/bash
# Makes a node of Debian: what the recipe of kind's own base image does, with Debian's packages, and what this kind of node needs beside it.
set -euo pipefail

chmod 0755 /kind /kind/bin /kind/bin/* /usr/local/bin/* /usr/bin/kubeadm /usr/bin/kubelet /usr/bin/kubectl

# A container has no devices to wait for and no disks to mount.
rm -f /lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service
rm -f /lib/systemd/system/{multi-user,local-fs,basic}.target.wants/* /etc/systemd/system/*.wants/*
rm -f /lib/systemd/system/sockets.target.wants/*{udev,initctl}*
echo ReadKMsg=no >>/etc/systemd/journald.conf
# Settings of the machine are not the node's business.
rm -f /usr/lib/sysctl.d/50-*.conf /usr/lib/sysctl.d/99-protect-links.conf
[ -e /sbin/init ] || ln -s /usr/lib/systemd/systemd /sbin/init
systemctl --quiet enable kubelet.service containerd.service undo-mount-hacks.service
systemctl --quiet mask systemd-binfmt.service

# kind looks for these where its own builds of them are.
ln -sf /usr/bin/containerd /usr/bin/ctr /usr/local/bin/
mkdir -p /opt/cni/bin /etc/cni/net.d /etc/kubernetes/manifests /kind/manifests
for plugin in ptp host-local portmap loopback; do
    cp "/usr/lib/cni/$plugin" /opt/cni/bin/
done
ctr oci spec |
    jq 'del(.process.rlimits) | .hooks.createContainer += [{path: "/kind/bin/mount-product-files.sh"}]' >/etc/containerd/cri-base.json
sed -i -e "s|sandbox_image = .*|sandbox_image = \"$PAUSE\"|" \
    -e 's/restrict_oom_score_adj = .*/restrict_oom_score_adj = true/' /etc/containerd/config.toml

# A kubelet of 1.35 or newer refuses cgroup v1 unless it is told not to; an older one does not know the flag.
extra=
[[ $(kubelet --help) != *--fail-cgroupv1* ]] || extra=--fail-cgroupv1=false
echo "KUBELET_EXTRA_ARGS=--runtime-cgroups=/system.slice/containerd.service $extra" >/etc/default/kubelet

printf 'v%s' "$VERSION" >/kind/version
cat >/kind/manifests/default-storage.yaml <<'MANIFEST'
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: standard
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
MANIFEST

# The last thing before systemd starts.
sed -i '/^exec "\$@"$/i . /towtank/network.sh' /usr/local/bin/entrypoint
grep -q '^\. /towtank/network.sh$' /usr/local/bin/entrypoint
bash -n /usr/local/bin/entrypoint
