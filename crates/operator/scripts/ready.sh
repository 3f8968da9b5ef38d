#!/bin/bash
# The readiness probe: the broker reaches the lead through the instance, so it is online.
scripts=${TOWTANK_SCRIPTS:-/flux_operator}
. "$scripts/settings.sh"
[ -z "$TOWTANK_VIEW" ] || export PATH=$TOWTANK_MOUNT/view/bin:$PATH
for socket in "$TOWTANK_RUNDIR"/local*; do
    [ -S "$socket" ] || continue
    FLUX_URI=local://$socket timeout 4 flux ping --count=1 0 >/dev/null 2>&1 && exit 0
done
exit 1
