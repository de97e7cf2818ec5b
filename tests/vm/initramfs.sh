#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The guest's first process: reach the host's root file system, read-only under
# an overlay in memory; mount what a running system has; hand over to root.sh.
# All mounts are made here, by busybox from memory: emulated, the host's own
# programs take ten times as long to start.

stop() {
	echo "guard-vm: $1"
	poweroff -f
}

mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do
	insmod "$module" || stop "cannot insert $module"
done
options=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o $options,cache=loose,ro root /lower || stop "no root share"
mount -t tmpfs -o mode=0755 upper /upper
mkdir /upper/top /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/top,workdir=/upper/work overlay /new ||
	stop "no overlay"
mkdir -p /new/mnt/exchange
mount -t 9p -o $options,cache=none exchange /new/mnt/exchange || stop "no exchange share"
. /new/mnt/exchange/settings

# A checkout under /tmp stays in sight when the guest gets a /tmp of its own.
number=0
for kept in $KEEP; do
	number=$((number + 1))
	mkdir -p /keep/$number
	mount --bind "/new$kept" /keep/$number
done
cd /new || stop "no root"
mount -t tmpfs -o mode=1777 tmpfs tmp
number=0
for kept in $KEEP; do
	number=$((number + 1))
	mkdir -p "/new$kept"
	mount --move /keep/$number "/new$kept"
done

mount --move /dev dev
mount --move /proc proc
mkdir -p dev/pts dev/shm "lib/modules/$RELEASE"
mount -t devpts -o mode=620,ptmxmode=666 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=0755 tmpfs run
mount -t sysfs sysfs sys
mount -t securityfs securityfs sys/kernel/security
mount -t tracefs tracefs sys/kernel/tracing
mount -t debugfs debugfs sys/kernel/debug
mount -t bpf -o mode=0700 bpf sys/fs/bpf
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --bind "/new$MODULES" "lib/modules/$RELEASE"
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mkfifo run/output
echo guard-guest >proc/sys/kernel/hostname
ifconfig lo 127.0.0.1 up
exec switch_root /new /bin/busybox sh /mnt/exchange/root.sh
