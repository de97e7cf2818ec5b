// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The file gate, for what is done with open files.
 *
 * file_lock: lock (flock, fcntl's locks, leases; not to unlock). file_ioctl,
 *   file_ioctl_compat: ioctl, on device nodes; setattr, for chattr's requests.
 * file_fcntl, mmap_file: write, where a descriptor that was opened to append
 *   would get to write elsewhere: O_APPEND taken away, a shared mapping.
 * file_receive: a descriptor that comes over a UNIX socket is judged as if the
 *   receiver opened it, by what it is open for.
 *
 * Not covered here: descriptors that were opened before the policy or inherited,
 * and where a descriptor that appends is written to with RWF_NOAPPEND (6.9 and
 * later) or has holes punched by fallocate: no hook is told.
 */
#include "entry.h"

/* uapi/asm-generic/fcntl.h */
enum {
	FCNTL_SETFL = 4,
	LOCK_TYPE_UNLOCK = 2,
};

/* uapi/linux/fs.h: chattr's requests, those of 32-bit programs too. */
#define IOC_SETFLAGS 0x40086602
#define IOC32_SETFLAGS 0x40046602
#define IOC_FSSETXATTR 0x401c5820

static __always_inline bool opened_to_append(struct file *file)
{
	return file->f_mode & FMODE_WRITE && file->f_flags & OPEN_APPEND;
}

static __always_inline int gate_file(struct file *file, __u32 verb, const __u32 hook)
{
	return gate_at(file->f_path.dentry, verb, NO_VERB, GUARD_SECTION_FILE, hook);
}

SEC("lsm/file_lock")
int BPF_PROG(guard_file_lock, struct file *file, unsigned int command, int ret)
{
	if (ret)
		return ret;
	if (command == LOCK_TYPE_UNLOCK)
		return 0;
	return gate_file(file, GUARD_PATH_LOCK, GUARD_HOOK_FILE_LOCK);
}

static __always_inline int gate_ioctl(struct file *file, unsigned int command, const __u32 hook)
{
	__u32 kind = file->f_inode->i_mode & S_IFMT, verb = GUARD_PATH_IOCTL;

	if (kind != S_IFCHR && kind != S_IFBLK) {
		if (command != IOC_SETFLAGS && command != IOC32_SETFLAGS &&
		    command != IOC_FSSETXATTR)
			return 0;
		verb = GUARD_PATH_SETATTR;
	}
	return gate_file(file, verb, hook);
}

SEC("lsm/file_ioctl")
int BPF_PROG(guard_file_ioctl, struct file *file, unsigned int command, unsigned long argument,
	     int ret)
{
	return ret ? ret : gate_ioctl(file, command, GUARD_HOOK_FILE_IOCTL);
}

SEC("lsm/file_ioctl_compat")
int BPF_PROG(guard_file_ioctl_compat, struct file *file, unsigned int command,
	     unsigned long argument, int ret)
{
	return ret ? ret : gate_ioctl(file, command, GUARD_HOOK_FILE_IOCTL_COMPAT);
}

SEC("lsm/file_fcntl")
int BPF_PROG(guard_file_fcntl, struct file *file, unsigned int command, unsigned long argument,
	     int ret)
{
	if (ret)
		return ret;
	if (command != FCNTL_SETFL || argument & OPEN_APPEND || !opened_to_append(file))
		return 0;
	return gate_file(file, GUARD_PATH_WRITE, GUARD_HOOK_FILE_FCNTL);
}

/* Not only what is writable now: a shared mapping of it can be made so later. */
static __always_inline int gate_append(struct file *file, unsigned long flags)
{
	if (!file || !(flags & MAP_SHARED_BIT) || !opened_to_append(file))
		return 0;
	return gate_file(file, GUARD_PATH_WRITE, GUARD_HOOK_MMAP_FILE);
}

SEC("lsm/mmap_file")
int BPF_PROG(guard_mmap_append, struct file *file, unsigned long asked, unsigned long prot,
	     unsigned long flags, int ret)
{
	return ret ? ret : gate_append(file, flags);
}

SEC("lsm/mmap_file")
int BPF_PROG(guard_security_mmap_append, struct file *file, unsigned long prot,
	     unsigned long flags, int ret)
{
	return ret ? ret : gate_append(file, flags);
}

/* include/linux/fs.h: a file system that nobody can mount, such as that of pipes. */
#define SB_NOUSER_BIT (1u << 31)

struct super_block___flags {
	unsigned long s_flags;
} KERNEL_TYPE;

/* Pipes, sockets, memory: they have no name that a rule could mean, and hide no file that has. */
static __always_inline bool never_named(struct file *file)
{
	unsigned long flags = 0;

	READ_AT(flags, number_of(file->f_inode->i_sb), struct super_block___flags, s_flags);
	return flags & SB_NOUSER_BIT || !file->f_inode->i_nlink;
}

SEC("lsm/file_receive")
int BPF_PROG(guard_file_receive, struct file *file, int ret)
{
	struct request request;
	int result;

	if (ret)
		return ret;
	/* By a path descriptor nothing is done but to open it, which is judged. */
	if (!(file->f_mode & (FMODE_READ | FMODE_WRITE)))
		return 0;
	if (!begin_at(&request.caller, file->f_path.dentry, &result, GUARD_SECTION_FILE,
		      GUARD_HOOK_FILE_RECEIVE))
		return result;
	ask(&request, file->f_path.dentry, GUARD_PATH_READ, NO_VERB, GUARD_SECTION_FILE,
	    GUARD_HOOK_FILE_RECEIVE);
	if (!request.device && never_named(file) && !is_canary(&request.caller))
		return 0;
	split_verbs(&request, verbs_of(file));
	return hook_result(judge(&request));
}
