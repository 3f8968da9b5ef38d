#!/bin/bash
# collect.sh DIRECTORY COMMAND...: copies commands into a directory that becomes the root of an image, with the libraries that they need.
set -euo pipefail
root=$1
shift
mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{etc,run,tmp,var}
for link in bin sbin lib lib64; do
    ln -s "usr/$link" "$root/$link"
done
chmod 1777 "$root/tmp"
echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"

# A file, and what its symbolic links lead to, at the same places.
take() {
    local path=$1 target
    while :; do
        [ -e "$root$path" ] && return
        mkdir -p "$root$(dirname "$path")"
        cp -a "$path" "$root$path"
        [ -L "$path" ] || return 0
        target=$(readlink "$path")
        case $target in
        /*) path=$target ;;
        *) path=$(realpath -s "$(dirname "$path")/$target") ;;
        esac
    done
}
libraries() {
    # What is no dynamic program needs none.
    { ldd "$1" 2>/dev/null || true; } | grep -o '/[^ ]*' || true
}
for command; do
    # Not what the shell itself does under that name.
    path=$(type -P "$command")
    take "$path"
    for library in $(libraries "$(realpath "$path")"); do
        take "$library"
    done
    case $(realpath "$path") in
    *xtables*)
        # The extensions of iptables are loaded by name.
        extensions=$(dirname "$(find /usr/lib -name 'libxt_comment.so' | head -n 1)")
        for extension in "$extensions"/*.so; do
            take "$extension"
            for library in $(libraries "$extension"); do
                take "$library"
            done
        done
        ;;
    esac
done
