#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The guest's init once it is on the host's root file system: run the host's
# command with its output on the virtio port, leave its status in the exchange
# directory, power off.

exchange=/mnt/exchange
for port in /sys/class/virtio-ports/*; do
	read -r name <"$port/name"
	[ "$name" != guard.output ] || output=/dev/${port##*/}
done

# A port is opened by one process at a time, so the command writes to a pipe.
cat </run/output >"$output" &
copier=$!
read -r uptime _ </proc/uptime
echo "$uptime" >$exchange/uptime
/bin/sh $exchange/command.sh </dev/null >/run/output 2>&1
status=$?
# What outlives the command may hold the pipe: its output is not waited for.
for _ in 1 2 3 4 5 6 7 8 9 10; do
	kill -0 $copier 2>/dev/null || break
	sleep 0.1
done
echo $status >$exchange/status
exec /bin/busybox poweroff -f
