/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few kernel structures that guard reads, with only the members it reads.
 * preserve_access_index makes every access a CO-RE relocation, so the offsets
 * are those of the kernel that runs, and no vmlinux.h is needed. Members that
 * not every supported kernel has are in structures with a ___suffix, which
 * CO-RE ignores when it looks the type up.
 */
#ifndef GUARD_KERNEL_H
#define GUARD_KERNEL_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/stat.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif

#define KERNEL_TYPE __attribute__((preserve_access_index))

typedef _Bool bool;
#define true 1
#define false 0

struct super_block {
	unsigned int s_dev;
	unsigned long s_magic;
	struct dentry *s_root;
} KERNEL_TYPE;

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_nlink;
} KERNEL_TYPE;

struct qstr {
	unsigned int len;
	const unsigned char *name;
} KERNEL_TYPE;

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
} KERNEL_TYPE;

/* Before 6.14 (58cf9c383c5c "dcache: back inline names with a struct-wrapped array"). */
struct dentry___iname {
	unsigned char d_iname[32];
} KERNEL_TYPE;

union shortname_store {
	unsigned char string[40];
} KERNEL_TYPE;

struct dentry___shortname {
	union shortname_store d_shortname;
} KERNEL_TYPE;

struct path {
	struct dentry *dentry;
} KERNEL_TYPE;

struct file {
	unsigned int f_mode;
	unsigned int f_flags;
	struct path f_path;
	struct inode *f_inode;
} KERNEL_TYPE;

/* 6.5 and later: the file that a stacking file system opens for its caller. */
struct backing_file {
	struct path user_path;
} KERNEL_TYPE;

struct mm_struct {
	struct file *exe_file;
} KERNEL_TYPE;

struct bpf_map {
	unsigned int id;
} KERNEL_TYPE;

struct bpf_local_storage_map {
	struct bpf_map map;
} KERNEL_TYPE;

/* As 6.1 has it; read only where bpf_task_storage_get can be busy (maps.h). */
struct bpf_local_storage_data {
	struct bpf_local_storage_map *smap;
	unsigned char data[1];
} KERNEL_TYPE;

#define STORAGE_CACHE_SLOTS 16 /* BPF_LOCAL_STORAGE_CACHE_SIZE, include/linux/bpf_local_storage.h \
				*/

struct bpf_local_storage {
	struct bpf_local_storage_data *cache[STORAGE_CACHE_SLOTS];
} KERNEL_TYPE;

struct kernfs_node {
	const char *name;
} KERNEL_TYPE;

struct kernfs_node___old {
	struct kernfs_node *parent;
} KERNEL_TYPE;

/* 6.15 and later (633488947ef6 "kernfs: Use RCU to access kernfs_node::parent"). */
struct kernfs_node___parent {
	struct kernfs_node *__parent;
} KERNEL_TYPE;

struct cgroup {
	struct kernfs_node *kn;
} KERNEL_TYPE;

struct css_set {
	struct cgroup *dfl_cgrp;
} KERNEL_TYPE;

typedef struct {
	unsigned int val;
} KERNEL_TYPE kuid_t, kgid_t;

/* Eight ids follow one another: uid, gid, suid, sgid, euid, egid, fsuid, fsgid. */
struct cred {
	kuid_t uid;
	struct group_info *group_info;
} KERNEL_TYPE;

struct group_info {
	int ngroups;
	kgid_t gid[1];
} KERNEL_TYPE;

struct task_struct {
	const struct cred *real_cred;
	struct css_set *cgroups;
	struct mm_struct *mm;
	struct task_struct *real_parent;
	int pid;
	int tgid;
	unsigned long long start_boottime;
	struct bpf_local_storage *bpf_storage;
} KERNEL_TYPE;

/* arch/x86/include/asm/ptrace.h: the registers at the entry of a system call. */
struct pt_regs {
	unsigned long orig_ax;
} KERNEL_TYPE;

struct linux_binprm {
	struct file *file;
} KERNEL_TYPE;

struct seqcount {
	unsigned int sequence;
} KERNEL_TYPE;

/* include/linux/fs.h; not in a uapi header, and the same on all supported kernels. */
enum {
	FMODE_READ = 0x1,
	FMODE_WRITE = 0x2,
	FMODE_EXEC = 0x20,	   /* in f_flags (__FMODE_EXEC): opened by execve */
	FMODE_BACKING = 0x2000000, /* 6.5 and later: opened by a stacking file system */
};

/* uapi/asm-generic/fcntl.h; the x86 and arm64 values are these. */
enum {
	OPEN_TRUNC = 01000,
	OPEN_APPEND = 02000,
};

/*
 * A kernel pointer as a number, which global functions take. Read back through a
 * helper: what a helper wrote, the verifier takes for a number.
 */
static __always_inline __u64 number_of(const void *pointer)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

/* uapi/asm-generic/signal.h */
enum {
	SIGKILL_NUMBER = 9,
};

/* include/uapi/linux/sched.h */
enum {
	CLONE_THREAD_FLAG = 0x00010000,
};

#endif
