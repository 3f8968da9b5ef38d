# kube-proxy with the commands that it calls. `BASE` is what debootstrap made.
ARG BASE
FROM ${BASE} AS tools
COPY collect.sh /
RUN ["/bin/bash", "/collect.sh", "/collected", "sh", "iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore", "nft", "conntrack", "kmod", "modprobe"]

FROM scratch
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY --from=tools /collected /
COPY kube-proxy /usr/local/bin/kube-proxy
