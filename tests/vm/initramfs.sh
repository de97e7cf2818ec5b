#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The guest's first process: reach the host's root file system, read-only under
# an overlay in memory, and hand over to root.sh in it.

b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
for module in /modules/*.ko; do
	$b insmod "$module" || $b echo "guard-vm: cannot insert $module"
done
$b mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=512000,ro root /lower &&
$b mount -t tmpfs -o mode=0755 upper /upper &&
$b mkdir /upper/top /upper/work &&
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/top,workdir=/upper/work overlay /new &&
$b mkdir -p /new/mnt/exchange &&
$b mount -t 9p -o trans=virtio,version=9p2000.L,cache=none,msize=512000 exchange /new/mnt/exchange &&
$b umount /proc &&
$b mount --move /dev /new/dev &&
exec $b switch_root /new /bin/sh /mnt/exchange/root.sh
# Reached only when a step failed; the console's last lines say which.
$b echo "guard-vm: the host's root file system could not be mounted"
$b poweroff -f
