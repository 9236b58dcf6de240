#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Process 1 of the guest: brings up what the tests need, runs the lines of /plan, two at a time, and ends the machine. What
# is to be read by guest.py begins with @@; what a test printed stands between its begin and its end.
# A line of /plan: NAME SECONDS COMMAND...
export PATH=/bin TMPDIR=/tmp HOME=/
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /data /out
mount -t tmpfs shm /dev/shm
for module in virtio_ring virtio virtio_mmio virtio_blk; do
    insmod "/modules/$module.ko" || echo "@@ trouble: module $module"
done
# A file system on a disk: direct I/O, as the store of a DPU has it. Unit tests write to one that has none.
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

# For the plan, which both lanes read, and for the console. guest.py ends a machine that never gets it.
lock() {
    until mkdir /lock 2>/dev/null; do
        usleep 10000
    done
}

lane() {
    while :; do
        lock
        if ! read -r name seconds command <&3; then
            rmdir /lock
            return
        fi
        echo "@@ start $name"
        rmdir /lock
        began=$(cut -d' ' -f1 /proc/uptime)
        # shellcheck disable=SC2086 # words of the plan
        (cd /tmp && exec timeout -k 5 "$seconds" $command </dev/null 3<&-) >"/out/$name" 2>&1
        rc=$?
        ended=$(cut -d' ' -f1 /proc/uptime)
        lock
        echo "@@ begin $name"
        tail -c 20000 "/out/$name"
        echo
        echo "@@ end $name $rc $began $ended"
        rmdir /lock
    done
}

exec 3</plan
lane &
lane
wait
echo "@@ done"
sync
poweroff -f
