# A node. `BASE` is what debootstrap made.
ARG BASE

# Debian, with kind's own files and Kubernetes' programs.
FROM ${BASE} AS files
COPY kind /
COPY kubeadm kubelet kubectl /usr/bin/
COPY prepare.sh network.sh /towtank/
ARG VERSION
ARG PAUSE
RUN ["/bin/bash", "/towtank/prepare.sh"]

# The images that the node need not fetch.
FROM files AS images
COPY images.tar preload.sh /
RUN ["/bin/bash", "/preload.sh", "/images.tar"]

FROM files
COPY --from=images /var/lib/containerd /var/lib/containerd
# What systemd looks for, and what it ends on.
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
