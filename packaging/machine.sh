#!/usr/bin/env bash
# Boots a folder with a Debian as a machine: with its systemd, processes, network and control groups of its own. It is seen by nobody
# else, reaches no network, and ends when this is killed (SIGKILL). Needs root.
#
#   machine.sh FOLDER
set -euo pipefail
root=$1

if [[ ${APART:-} != yes ]]; then
    groups=$(findmnt --noheadings --first-only --output TARGET --types cgroup2)/plugd-machine-$$
    mkdir "$groups"
    echo $$ >"$groups/cgroup.procs"
    APART=yes exec unshare --mount --propagation private --net --uts --ipc --cgroup --pid --fork --kill-child "$0" "$root"
fi

mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in run dev; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
for device in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod --mode 666 "dev/${device%:*}" c 1 "${device#*:}"
done
ln --symbolic /proc/self/fd dev/fd
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln --symbolic pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm
# Not chroot: in one nobody may make user namespaces, which plugd shuts plugins in with.
mkdir --parents mnt/host
pivot_root . mnt/host
exec env -i container=machine PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    bash -c 'umount --lazy /mnt/host && exec /lib/systemd/systemd --log-target=null --show-status=no'
