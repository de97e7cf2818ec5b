#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The guest's init, on the host's root file system: mount what a system has, run
# the host's command with its output on the virtio port, leave its status in the
# exchange directory, power off.

busybox=/bin/busybox
exchange=/mnt/exchange
. $exchange/settings

# A checkout under /tmp stays in sight when the guest gets a /tmp of its own.
number=0
for kept in $KEEP; do
	number=$((number + 1))
	mkdir -p /mnt/keep/$number
	mount --bind "$kept" /mnt/keep/$number
done

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t securityfs securityfs /sys/kernel/security
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t bpf -o mode=0700 bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -sfn /proc/self/fd /dev/fd
ln -sfn /proc/self/fd/0 /dev/stdin
ln -sfn /proc/self/fd/1 /dev/stdout
ln -sfn /proc/self/fd/2 /dev/stderr

number=0
for kept in $KEEP; do
	number=$((number + 1))
	mkdir -p "$kept"
	mount --bind /mnt/keep/$number "$kept"
	umount /mnt/keep/$number
done

mkdir -p "/lib/modules/$RELEASE"
mount --bind "$MODULES" "/lib/modules/$RELEASE"
hostname guard-guest 2>/dev/null || echo guard-guest >/proc/sys/kernel/hostname
$busybox ifconfig lo 127.0.0.1 up

for port in /sys/class/virtio-ports/*; do
	if [ "$(cat "$port/name")" = guard.output ]; then
		output=/dev/${port##*/}
	fi
done

# A port is opened by one process at a time, so the command writes to a pipe.
mkfifo /run/output
cat </run/output >"$output" &
copier=$!
cut -d ' ' -f 1 /proc/uptime >$exchange/uptime
/bin/sh $exchange/command.sh </dev/null >/run/output 2>&1
status=$?
# What outlives the command may hold the pipe: its output is not waited for.
for _ in 1 2 3 4 5 6 7 8 9 10; do
	kill -0 $copier 2>/dev/null || break
	sleep 0.1
done
echo $status >$exchange/status
$busybox poweroff -f
