// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The kernel gate: operations on the kernel and on other processes.
 *
 * ptrace_access_check, ptrace_traceme: ptrace (attaching: also process_vm_*,
 *   pidfd_getfd, /proc/PID/mem). task_kill: signal. Both are about processes
 *   outside the policy: those under the same policy are its own business.
 * sb_mount, move_mount, sb_remount: mount. sb_umount: umount. sb_pivotroot,
 *   path_chroot. kernel_module_request, kernel_read_file, kernel_load_data:
 *   module, firmware, kexec. bpf, perf_event_open, userns_create, settime (time),
 *   key_alloc, key_permission (keys), syslog.
 * inode_init_security_anon: io_uring, by the ring's file, which every kernel
 *   makes this way.
 * capable: each capability that the task has and uses. Calls without a hook of
 *   their own are told by the system call under way: swapon, swapoff, reboot,
 *   kexec_load, delete_module, adjtimex, mount_setattr, fsopen and their kin.
 *
 * Not covered here: reading about a process (PTRACE_MODE_READ: /proc/PID/maps,
 * environ), which file rules on /proc can deny; what a task did before its policy.
 */
#include "gate.h"

/* include/linux/ptrace.h */
enum {
	PTRACE_ATTACH_MODE = 2,
};

/* enum kernel_read_file_id and kernel_load_data_id, include/linux/kernel_read_file.h */
enum {
	READING_FIRMWARE_ID = 1,
	READING_MODULE_ID = 2,
	READING_KEXEC_IMAGE_ID = 3,
	READING_KEXEC_INITRAMFS_ID = 4,
};

/* include/linux/security.h: a check that is to leave no record. */
enum {
	CAP_NOAUDIT = 2,
};

/* Nobody but the caller: the operation has no target. */
#define NO_TARGET ((struct task_struct *)0)

/*
 * Weighs the operation's row, settles and records, if it is not ``quiet``.
 * Returns what the hook returns.
 */
static __noinline int judge_op(const struct caller *caller, __u32 op, __u32 hook, __u32 target,
			       __u32 quiet)
{
	const struct tables *tables = caller->tables;
	__u32 zero = opaque_zero(tables);
	struct report report;
	__u64 allow = zero;

	begin_report(&report, caller, GUARD_SECTION_KERNEL, GUARD_HOOK_CAPABLE, 0);
	report.hook = unrefined(hook, zero);
	report.operation = unrefined(op, zero);
	report.target = unrefined(target, zero);
	if (is_canary(caller))
		return caller->canary ? send_canary(caller, &report) : 0;
	op = unrefined(op, zero);
	if (op >= GUARD_LIMIT_KERNEL_OPS)
		return 0;
	weigh(&report.verdict, &tables->root.kernel[op], &allow);
	report.verdict.denied |= report.verdict.by_rule |
				 (tables->root.section[GUARD_SECTION_KERNEL].default_deny & ~allow);
	if (settle(tables, &report) && !quiet)
		send_plain(tables, &report, (void *)0, zero);
	return report.error;
}

/* Policies that another task is under too, as far as its label tells. */
static __always_inline __u64 policies_of(const struct tables *tables, struct task_struct *task)
{
	struct guard_task *label = bpf_task_storage_get(&guard_labels, task, 0, 0);
	__u64 policies = tables->root.host;

	if (label) {
		policies |= label->mask | label->pending;
		if (label->cgroup_generation == tables->root.generation)
			policies |= label->cgroup_mask;
	}
	return policies;
}

/* The whole gate, for an operation that has no target. */
static __always_inline int gate_op(const __u32 hook, __u32 op)
{
	struct caller caller;

	switch (begin(&caller, GUARD_SECTION_KERNEL, hook)) {
	case GATE_PASS:
		return 0;
	case GATE_REFUSE:
		return -EPERM;
	}
	return hook_result(judge_op(&caller, op, hook, 0, 0));
}

/* The same for one that is about another process. */
static __always_inline int gate_target(const __u32 hook, __u32 op, struct task_struct *target)
{
	struct caller caller;

	if (target->tgid == bpf_get_current_task_btf()->tgid)
		return 0;
	switch (begin(&caller, GUARD_SECTION_KERNEL, hook)) {
	case GATE_PASS:
		return 0;
	case GATE_REFUSE:
		return -EPERM;
	}
	caller.policies &= ~policies_of(caller.tables, target);
	if (!caller.policies && !is_canary(&caller))
		return 0;
	return hook_result(judge_op(&caller, op, hook, target->tgid, 0));
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(guard_ptrace_access_check, struct task_struct *child, unsigned int mode, int ret)
{
	if (ret)
		return ret;
	if (!(mode & PTRACE_ATTACH_MODE))
		return 0;
	return gate_target(GUARD_HOOK_PTRACE_ACCESS_CHECK, GUARD_KERNEL_PTRACE, child);
}

/*
 * The tracee asks to be traced by its parent: it is the parent that gains, and
 * its policies that are judged. Its label alone tells them; the record is the tracee's.
 */
SEC("lsm/ptrace_traceme")
int BPF_PROG(guard_ptrace_traceme, struct task_struct *parent, int ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct tables *tables;
	struct guard_task *label;
	struct caller caller;
	__u64 zero;

	if (ret)
		return ret;
	/* The canary is the tracee; as a canary it has no policies. */
	if (begin(&caller, GUARD_SECTION_KERNEL, GUARD_HOOK_PTRACE_TRACEME) == GATE_JUDGE &&
	    is_canary(&caller))
		return hook_result(judge_op(&caller, GUARD_KERNEL_PTRACE, GUARD_HOOK_PTRACE_TRACEME,
					    parent->tgid, 0));
	label = bpf_task_storage_get(&guard_labels, parent, 0, 0);
	tables = current_tables();
	if (!label || !tables)
		return 0;
	zero = opaque_zero(tables);
	caller.tables = tables;
	caller.policies = unrefined64((label->mask | label->pending) &
					      tables->root.section[GUARD_SECTION_KERNEL].policies &
					      ~policies_of(tables, task),
				      zero);
	caller.flags = zero;
	caller.canary = zero;
	caller.foretold = zero;
	if (!caller.policies)
		return 0;
	return hook_result(judge_op(&caller, GUARD_KERNEL_PTRACE, GUARD_HOOK_PTRACE_TRACEME,
				    parent->tgid, 0));
}

SEC("lsm/task_kill")
int BPF_PROG(guard_task_kill, struct task_struct *target, void *info, int sig,
	     const void *cred, int ret)
{
	if (ret)
		return ret;
	/*
	 * With credentials of its own, the signal is not the current task's (USB, AIO).
	 * As a number: the verifier takes an argument's pointer for never NULL, and
	 * would make "if (cred)" always true.
	 */
	if (number_of(cred))
		return 0;
	return gate_target(GUARD_HOOK_TASK_KILL, GUARD_KERNEL_SIGNAL, target);
}

SEC("lsm/sb_mount")
int BPF_PROG(guard_sb_mount, const char *name, const struct path *path, const char *type,
	     unsigned long flags, void *data, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_SB_MOUNT, GUARD_KERNEL_MOUNT);
}

SEC("lsm/move_mount")
int BPF_PROG(guard_move_mount, const struct path *from, const struct path *to, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_MOVE_MOUNT, GUARD_KERNEL_MOUNT);
}

SEC("lsm/sb_remount")
int BPF_PROG(guard_sb_remount, struct super_block *sb, void *options, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_SB_REMOUNT, GUARD_KERNEL_MOUNT);
}

SEC("lsm/sb_umount")
int BPF_PROG(guard_sb_umount, void *mount, int flags, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_SB_UMOUNT, GUARD_KERNEL_UMOUNT);
}

SEC("lsm/sb_pivotroot")
int BPF_PROG(guard_sb_pivotroot, const struct path *old, const struct path *new, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_SB_PIVOTROOT, GUARD_KERNEL_PIVOT_ROOT);
}

SEC("lsm/path_chroot")
int BPF_PROG(guard_path_chroot, const struct path *path, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_PATH_CHROOT, GUARD_KERNEL_CHROOT);
}

SEC("lsm/kernel_module_request")
int BPF_PROG(guard_kernel_module_request, char *name, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_KERNEL_MODULE_REQUEST, GUARD_KERNEL_MODULE);
}

/* What a file or data is loaded for, as an operation; GUARD_LIMIT_KERNEL_OPS: nothing gated. */
static __always_inline __u32 loading(int id)
{
	if (id == READING_FIRMWARE_ID)
		return GUARD_KERNEL_FIRMWARE;
	if (id == READING_MODULE_ID)
		return GUARD_KERNEL_MODULE;
	if (id == READING_KEXEC_IMAGE_ID || id == READING_KEXEC_INITRAMFS_ID)
		return GUARD_KERNEL_KEXEC;
	return GUARD_LIMIT_KERNEL_OPS;
}

SEC("lsm/kernel_read_file")
int BPF_PROG(guard_kernel_read_file, struct file *file, int id, bool contents, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_KERNEL_READ_FILE, loading(id));
}

SEC("lsm/kernel_load_data")
int BPF_PROG(guard_kernel_load_data, int id, bool contents, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_KERNEL_LOAD_DATA, loading(id));
}

SEC("lsm/bpf")
int BPF_PROG(guard_bpf, int command, void *attr, unsigned int size, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_BPF, GUARD_KERNEL_BPF);
}

/* 6.16 and later: told whether the kernel itself calls. */
SEC("lsm/bpf")
int BPF_PROG(guard_bpf_kernel, int command, void *attr, unsigned int size, bool kernel,
	     int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_BPF, GUARD_KERNEL_BPF);
}

SEC("lsm/perf_event_open")
int BPF_PROG(guard_perf_event_open, void *attr, int type, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_PERF_EVENT_OPEN, GUARD_KERNEL_PERF);
}

/* 6.16 and later: without the attributes. */
SEC("lsm/perf_event_open")
int BPF_PROG(guard_perf_event_type, int type, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_PERF_EVENT_OPEN, GUARD_KERNEL_PERF);
}

SEC("lsm/userns_create")
int BPF_PROG(guard_userns_create, const void *cred, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_USERNS_CREATE, GUARD_KERNEL_USERNS);
}

SEC("lsm/settime")
int BPF_PROG(guard_settime, const void *time, const void *zone, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_SETTIME, GUARD_KERNEL_TIME);
}

SEC("lsm/key_alloc")
int BPF_PROG(guard_key_alloc, void *key, const void *cred, unsigned long flags, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_KEY_ALLOC, GUARD_KERNEL_KEYS);
}

SEC("lsm/key_permission")
int BPF_PROG(guard_key_permission, void *key, const void *cred, int wanted, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_KEY_PERMISSION, GUARD_KERNEL_KEYS);
}

SEC("lsm/syslog")
int BPF_PROG(guard_syslog, int type, int ret)
{
	return ret ? ret : gate_op(GUARD_HOOK_SYSLOG, GUARD_KERNEL_SYSLOG);
}

/* "[io_uring]", fs/anon_inodes.c's name for a ring's file, as two words. */
#define URING_NAME_SIZE 10
#define URING_NAME_FIRST 0x6972755f6f695bull /* "[io_uri", the eighth byte masked off */

SEC("lsm/inode_init_security_anon")
int BPF_PROG(guard_io_uring, struct inode *inode, const struct qstr *name,
	     const struct inode *context, int ret)
{
	__u64 word = 0, text = 0;
	__u32 size = 0;

	if (ret)
		return ret;
	bpf_probe_read_kernel(&size, sizeof(size), __builtin_preserve_access_index(&name->len));
	bpf_probe_read_kernel(&text, sizeof(text), __builtin_preserve_access_index(&name->name));
	bpf_probe_read_kernel(&word, sizeof(word), (void *)text);
	if (size != URING_NAME_SIZE || (word & 0xffffffffffffffull) != URING_NAME_FIRST)
		return 0;
	return gate_op(GUARD_HOOK_INODE_INIT_SECURITY_ANON, GUARD_KERNEL_IO_URING);
}

/*
 * The system call under way, as the table of x86-64 numbers it; a 32-bit call
 * is numbered otherwise, and is told by the capability alone.
 */
enum {
	CALL_SWAPON = 167,
	CALL_SWAPOFF = 168,
	CALL_REBOOT = 169,
	CALL_DELETE_MODULE = 176,
	CALL_KEXEC_LOAD = 246,
	CALL_KEXEC_FILE_LOAD = 320,
	CALL_OPEN_TREE = 428,
	CALL_FSPICK = 433,
	CALL_MOUNT_SETATTR = 442,
};

/* The operation that a capability is used for, where no hook says it; else the limit. */
static __always_inline __u32 used_for(int capability)
{
	struct pt_regs *regs;
	__u64 call = 0;

	if (capability == GUARD_KERNEL_CAP_SYS_TIME)
		return GUARD_KERNEL_TIME;
	if (capability == GUARD_KERNEL_CAP_SYS_MODULE)
		return GUARD_KERNEL_MODULE;
	if (capability != GUARD_KERNEL_CAP_SYS_ADMIN && capability != GUARD_KERNEL_CAP_SYS_BOOT)
		return GUARD_LIMIT_KERNEL_OPS;
	regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	bpf_probe_read_kernel(&call, sizeof(call), __builtin_preserve_access_index(&regs->orig_ax));
	if (capability == GUARD_KERNEL_CAP_SYS_BOOT)
		return call == CALL_KEXEC_LOAD || call == CALL_KEXEC_FILE_LOAD ?
			       GUARD_KERNEL_KEXEC :
			       GUARD_KERNEL_REBOOT;
	if (call == CALL_SWAPON || call == CALL_SWAPOFF)
		return GUARD_KERNEL_SWAP;
	if (call == CALL_MOUNT_SETATTR || (call >= CALL_OPEN_TREE && call <= CALL_FSPICK))
		return GUARD_KERNEL_MOUNT;
	return GUARD_LIMIT_KERNEL_OPS;
}

SEC("lsm/capable")
int BPF_PROG(guard_capable, const void *cred, void *ns, int capability, unsigned int options,
	     int ret)
{
	struct caller caller;
	/* The kernel asks some things on the way and wants no record; they are decided all the same. */
	__u32 op, quiet = options & CAP_NOAUDIT;
	int error;

	if (ret)
		return ret;
	switch (begin(&caller, GUARD_SECTION_KERNEL, GUARD_HOOK_CAPABLE)) {
	case GATE_PASS:
		return 0;
	case GATE_REFUSE:
		return -EPERM;
	}
	op = used_for(capability);
	if (op < GUARD_LIMIT_KERNEL_OPS) {
		error = judge_op(&caller, op, GUARD_HOOK_CAPABLE, 0, quiet);
		if (error)
			return hook_result(error);
	}
	return hook_result(judge_op(&caller, capability & 63, GUARD_HOOK_CAPABLE, 0, quiet));
}
