#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Process 1 of the guest: brings up what the tests need, runs the lines of /plan, and ends the machine. What is to be read
# by guest.py begins with @@; what a test prints stands between its begin and its end.
# A line of /plan: NAME SECONDS COMMAND...
export PATH=/bin TMPDIR=/tmp HOME=/ LD_BIND_NOW=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /data
mount -t tmpfs shm /dev/shm
for module in virtio_ring virtio virtio_mmio virtio_blk; do
    insmod "/modules/$module.ko" || echo "@@ trouble: module $module"
done
# A file system on a disk: direct I/O, as the store of a DPU has it.
tries=0
while [ ! -b /dev/vda ] && [ "$tries" -lt 100 ]; do
    tries=$((tries + 1))
    usleep 50000
done
mke2fs /dev/vda >/dev/null 2>&1 && mount -t ext4 /dev/vda /data || echo "@@ trouble: no disk"
mount -t tmpfs -o size=768m tmp /tmp
ifconfig lo 127.0.0.1 up
# shellcheck disable=SC3045 # busybox has it
ulimit -n 65536
echo "@@ up $(cut -d' ' -f1 /proc/uptime) $(uname -r) $(sed -n 's/^Features[^:]*: //p' /proc/cpuinfo | head -n 1)"

while read -r name seconds command; do
    echo "@@ begin $name"
    began=$(cut -d' ' -f1 /proc/uptime)
    # shellcheck disable=SC2086 # words of the plan
    (cd /tmp && exec timeout -k 5 "$seconds" $command </dev/null) 2>&1
    rc=$?
    echo
    echo "@@ end $name $rc $began $(cut -d' ' -f1 /proc/uptime)"
done </plan
echo "@@ done"
sync
poweroff -f
