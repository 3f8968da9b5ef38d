#!/bin/bash
# The init container: it copies Flux's view, and the software that the view links to, into volumes of the pod.
set -eu
scripts=${TOWTANK_SCRIPTS:-/flux_operator}
. "$scripts/settings.sh"
views=${TOWTANK_VIEWS:-/opt/views/._view}
mkdir -p "$TOWTANK_MOUNT/view"
# An init container that runs again, as after a restart of the pod's sandbox, copies the same once more.
for view in "$views"/*; do
    cp -R "$view"/. "$TOWTANK_MOUNT/view/"
done
software=${TOWTANK_SOFTWARE:-/opt/software}
if [ -d "$software" ]; then
    cp -R "$software"/. "${TOWTANK_SOFTWARE_COPY:-/opt/software-copy}/"
fi
[ -n "$TOWTANK_QUIET" ] || echo "init: Flux is in $TOWTANK_MOUNT/view"
