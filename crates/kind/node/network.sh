# Sourced by the entrypoint of a node, before systemd starts: the machine is kept as it is, and pods get their network.

# kubelet and kube-proxy set these for the whole machine, which other programs share: they see files of their own instead, which have what they want.
towtank_shadow() {
    local name value file
    while read -r name value; do
        [ -e "/proc/sys/$name" ] || continue
        file=/run/towtank/sysctl/$name
        mkdir -p "$(dirname "$file")"
        echo "$value" >"$file"
        mount --bind "$file" "/proc/sys/$name"
        mount -o remount,bind,ro "/proc/sys/$name"
    done <<'SETTINGS'
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
vm/overcommit_memory 1
vm/panic_on_oom 0
SETTINGS
}

# No daemon of a pod network: the node a.b.c.N has the pods of 10.244.N.0/24, and all nodes are in one network with a mask of 24 bits.
towtank_pods() {
    local address prefix number other
    address=$(ip -4 -o address show dev eth0 | awk '{sub("/.*", "", $4); print $4}')
    prefix=${address%.*} number=${address##*.}
    mkdir -p /etc/cni/net.d
    cat >/etc/cni/net.d/10-towtank.conflist <<CONFLIST
{
  "cniVersion": "0.4.0",
  "name": "towtank",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/towtank/addresses",
        "ranges": [[{"subnet": "10.244.$number.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
CONFLIST
    for other in {2..254}; do
        [ "$other" = "$number" ] || echo "route replace 10.244.$other.0/24 via $prefix.$other"
    done | ip -batch -
    # Docker's name server knows the node, not its pods.
    iptables -t nat -C POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 -j MASQUERADE 2>/dev/null ||
        iptables -t nat -A POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 -j MASQUERADE
}

towtank_shadow
towtank_pods
