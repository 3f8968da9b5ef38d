# Sourced by containers without Flux: Flux is on the path, and its socket is there.
scripts=${TOWTANK_SCRIPTS:-/flux_operator}
. "$scripts/settings.sh"
if [ -n "$TOWTANK_VIEW" ] && [ -d "$TOWTANK_MOUNT/view/bin" ]; then
    export PATH=$TOWTANK_MOUNT/view/bin:$PATH
fi
export FLUX_URI=local://$TOWTANK_RUNDIR/local
if [ -n "$TOWTANK_WAIT_SOCKET" ] && [ -d "$TOWTANK_MOUNT" ]; then
    waited=0
    until [ -S "$TOWTANK_RUNDIR/local" ]; do
        sleep 1
        waited=$((waited + 1))
        if [ "$waited" -ge "${TOWTANK_SOCKET_SECONDS:-600}" ]; then
            echo "sidecar: no broker after $waited s" >&2
            exit 1
        fi
    done
fi
