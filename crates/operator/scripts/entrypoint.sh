#!/bin/bash
# PID 1 of the container with Flux: it starts the broker, and decides what its end means.
#
# SIGTERM comes from the kubelet, so the pod is going. The broker leaves in order, and the container ends with 143: a pod that was
# deleted by accident has failed, and its index comes back. A broker that ends with 0 while nobody told this script has been
# retired on purpose, or the instance has shut down: the index is completed.

scripts=${TOWTANK_SCRIPTS:-/flux_operator}
curve=${TOWTANK_CURVE:-/flux_operator_curve/curve.cert}
. "$scripts/settings.sh"
[ -z "$TOWTANK_STRICT" ] || set -eEu -o pipefail

say() { [ -n "$TOWTANK_QUIET" ] || echo "entrypoint: $*" >&2; }
# What users have run before and after the broker; it can set variables.
custom() { if [ -f "$scripts/command-$1.sh" ]; then . "$scripts/command-$1.sh"; fi; }

index=${JOB_COMPLETION_INDEX:-0}
mark=$TOWTANK_RUNDIR/lead-left
uri=local://$TOWTANK_RUNDIR/local
is_lead=
[ -z "$TOWTANK_HAS_LEAD" ] || [ "$index" != 0 ] || is_lead=1
told=
child=

# The lead first tells the workers that the instance goes on, so that its end retires nobody.
tell_workers() {
    FLUX_URI=$uri timeout "${TOWTANK_TELL_SECONDS:-2}" flux exec -r all -x 0 touch "$mark" >&2 || say "could not tell all workers"
}
on_term() {
    told=1
    say "told to stop"
    if [ -n "$child" ]; then
        [ -z "$is_lead" ] || tell_workers
        kill -TERM "$child" 2>/dev/null || true
    fi
}
trap on_term TERM

# Waits for the child, however many signals come; its exit code is in $code.
await() {
    while :; do
        code=0
        wait "$child" || code=$?
        kill -0 "$child" 2>/dev/null || break
    done
    # The code of a wait that a signal ended says nothing of the child; the child is still known to the shell.
    code=0
    wait "$child" 2>/dev/null || code=$?
    child=
}
pause() {
    sleep "$1" &
    child=$!
    wait "$child" || true
    kill "$child" 2>/dev/null || true
    child=
}

prepare() {
    if [ -n "$TOWTANK_VIEW" ]; then
        export PATH=$TOWTANK_MOUNT/view/bin:$PATH
    fi
    [ -z "$TOWTANK_PYTHONPATH" ] || export PYTHONPATH=$TOWTANK_PYTHONPATH${PYTHONPATH:+:$PYTHONPATH}
    local etc=$TOWTANK_ROOT/etc/flux
    mkdir -p "$etc/config" "$etc/system/cron.d" "$TOWTANK_ROOT/curve" "$TOWTANK_ROOT/var/lib/flux" "$TOWTANK_RUNDIR"
    # Written anew at each start, never appended to.
    cp "$scripts/broker.toml" "$etc/config/broker.toml"
    (umask 077 && cp "$curve" "$TOWTANK_ROOT/curve/curve.cert.new")
    chmod 600 "$TOWTANK_ROOT/curve/curve.cert.new"
    mv -f "$TOWTANK_ROOT/curve/curve.cert.new" "$TOWTANK_ROOT/curve/curve.cert"
    flux R encode --hosts="$(cat "$scripts/hostlist")" --local >"$etc/system/R"
    if [ -n "$TOWTANK_SIMPLE" ]; then
        # Without Fluxion's own modules Flux starts its simple scheduler.
        unset FLUX_RC_EXTRA
    elif [ -n "$TOWTANK_VIEW" ]; then
        export FLUX_RC_EXTRA=$TOWTANK_MOUNT/view/etc/flux${FLUX_RC_EXTRA:+:$FLUX_RC_EXTRA}
    fi
}

# Up to 0.50 the quorum is a set of ranks, from 0.51 on a number of them.
has_quorum_of_ranks() {
    local major minor
    IFS=. read -r major minor _ < <(flux version 2>/dev/null | sed -n 's/^commands:[[:space:]]*//p')
    [ "$major" = 0 ] && [ "${minor:-99}" -lt 51 ]
}

# Starts the broker as a child, with what the lead runs inside of Flux behind it.
start_broker() {
    local options=() wrap=() program=()
    mapfile -t options <"$scripts/broker.options"
    if has_quorum_of_ranks; then
        local position quorum
        for position in "${!options[@]}"; do
            quorum=${options[position]#-Sbroker.quorum=}
            [ "$quorum" = "${options[position]}" ] || options[position]=-Sbroker.quorum=0-$((quorum - 1))
            # RFC 22 has no range of one.
            [ "${options[position]}" != -Sbroker.quorum=0-0 ] || options[position]=-Sbroker.quorum=0
        done
    fi
    if [ -n "$is_lead" ] && [ -n "$TOWTANK_ARCHIVE" ] && [ -e "$TOWTANK_ARCHIVE" ]; then
        options+=("-Scontent.restore=$TOWTANK_ARCHIVE")
    fi
    [ -z "$TOWTANK_WRAP" ] || IFS=, read -r -a wrap <<<"$TOWTANK_WRAP"
    if [ -n "$is_lead" ] && [ -f "$scripts/lead.command" ]; then
        # A workload that fails is tried again by a container that starts again: the workers wait for it.
        program=(bash -c "$(cat "$scripts/lead.command")
code=\$?
[ \$code = 0 ] || timeout ${TOWTANK_TELL_SECONDS:-2} flux exec -r all -x 0 touch '$mark' >&2
exit \$code")
    fi
    rm -f "$mark"
    # The prefix is a command line of the user's: it is split into words.
    # shellcheck disable=SC2086
    $TOWTANK_PREFIX ${wrap[@]+"${wrap[@]}"} flux broker --config-path="$TOWTANK_ROOT/etc/flux/config" "${options[@]}" ${program[@]+"${program[@]}"} &
    child=$!
    # SIGTERM may have come while there was no child yet.
    [ -z "$told" ] || kill -TERM "$child" 2>/dev/null || true
}

finish() {
    if [ -n "$told" ]; then
        exit 143
    fi
    custom post
    exit "$1"
}

custom init
prepare
custom pre
if [ -n "$is_lead" ]; then custom broker-pre; else custom worker-pre; fi
while [ -z "$told" ]; do
    start_broker
    await
    if [ -n "$told" ]; then
        break
    elif [ -n "$is_lead" ]; then
        say "the broker ended with $code"
        finish "$code"
    elif [ "$code" = 0 ] && [ -e "$mark" ]; then
        say "the lead has left, the instance goes on: waiting for the next lead"
    elif [ "$code" = 0 ]; then
        finish 0
    elif [ -n "$TOWTANK_COMPLETE_WORKERS" ]; then
        finish 0
    else
        say "the broker ended with $code: again in $TOWTANK_RETRY_SECONDS s"
        pause "$TOWTANK_RETRY_SECONDS"
    fi
done
finish 143
