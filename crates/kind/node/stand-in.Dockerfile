# The stand-in for Flux, with what scripts of a MiniCluster call. `BASE` is what debootstrap made.
ARG BASE
FROM ${BASE} AS tools
COPY collect.sh /
RUN ["/bin/bash", "/collect.sh", "/collected", "bash", "sh", "cat", "chmod", "cp", "date", "echo", "env", "false", "grep", "head", "hostname", "id", "kill", "ls", "mkdir", "mv", "pgrep", "pkill", "ps", "rm", "sed", "sleep", "sync", "timeout", "touch", "tr", "true"]

FROM scratch
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY --from=tools /collected /
COPY flux /usr/bin/flux
COPY flux /opt/views/._view/stand-in/bin/flux
CMD ["/bin/bash"]
