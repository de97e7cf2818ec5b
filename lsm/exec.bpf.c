// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The exec gate: what a task may run, and what it may map to be run.
 *
 * bprm_check_security: exec, for the file given to execve and again for each
 *   interpreter that it names (#!, binfmt_misc).
 * mmap_file with PROT_EXEC, file_mprotect to PROT_EXEC: map. The ELF
 *   interpreter and libraries come this way, and so does what a loader that is
 *   run as a program loads; the program itself is mapped by the exec that was judged.
 *
 * Memory without a file, a private mapping that is or can be written to, and a
 * file without any name (memfd, O_TMPFILE, deleted) are the object "anonymous".
 *
 * Not covered here: memory that the kernel makes executable without asking:
 * stacks of programs that say so (PT_GNU_STACK), and the heap by brk under
 * personality(READ_IMPLIES_EXEC). Code that is interpreted.
 */
#include "entry.h"

/* uapi/asm-generic/mman-common.h, uapi/linux/mman.h; mm.h's VM_ flags have the same values. */
enum {
	PROT_READ_BIT = 1,
	PROT_WRITE_BIT = 2,
	PROT_EXEC_BIT = 4,
	MAP_SHARED_BIT = 1,
	VM_EXEC_BIT = 4,
	VM_SHARED_BIT = 8,
};

/* uapi/linux/personality.h */
#define READ_IMPLIES_EXEC_BIT 0x0400000

struct vm_area_struct {
	unsigned long vm_flags;
	struct file *vm_file;
	void *anon_vma;
} KERNEL_TYPE;

struct task_struct___exec {
	unsigned int personality;
	unsigned int in_execve : 1;
} KERNEL_TYPE;

/* A file without any name is memory that somebody filled. */
static __always_inline bool nameless(struct file *file)
{
	return !file->f_inode->i_nlink;
}

/* Whether an exec is mapping the program that it was judged for. */
static __always_inline bool maps_program(struct file *file)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_struct___exec *exec = (void *)task;
	struct file *program;

	if (!BPF_CORE_READ_BITFIELD_PROBED(exec, in_execve) || !task->mm)
		return false;
	program = task->mm->exe_file;
	return program && number_of(program->f_inode) == number_of(file->f_inode);
}

/* Judges memory that no file stands behind. */
static __noinline int judge_memory(const struct caller *caller, __u32 hook)
{
	const struct tables *tables = caller->tables;
	const struct guard_device *memory = device_at(tables, DEVICE_ANONYMOUS);
	__u32 zero = opaque_zero(tables);
	struct object object;
	struct report report;

	object.tables = tables;
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++)
		object.state[group] = memory->start[group];
	begin_report(&report, caller, GUARD_SECTION_EXEC, GUARD_HOOK_MMAP_FILE,
		     1 << GUARD_PATH_MAP);
	report.hook = unrefined(hook, zero);
	if (is_canary(caller))
		return caller->canary ? send_canary(caller, &report) : 0;
	decide_verb(&object, &report, GUARD_PATH_MAP);
	if (settle(tables, &report)) {
		report.reason = unrefined(GUARD_REASON_ANONYMOUS, zero);
		send_plain(tables, &report, (void *)0, class_in(&object, 0));
	}
	return report.error;
}

/*
 * Judges a mapping that is to be executable: by its file, and as memory if what
 * is executed may be something else than the file's contents.
 */
static __always_inline int gate_mapping(struct file *file, bool modified, const __u32 hook)
{
	struct request request;
	int result;

	switch (begin(&request.caller, GUARD_SECTION_EXEC, hook)) {
	case GATE_PASS:
		return 0;
	case GATE_REFUSE:
		return -EACCES;
	}
	if (file) {
		ask(&request, file->f_path.dentry, GUARD_PATH_MAP, NO_VERB, GUARD_SECTION_EXEC,
		    hook);
		if (nameless(file))
			request.device = unrefined(DEVICE_ANONYMOUS,
						   opaque_zero(request.caller.tables));
		if (is_canary(&request.caller) || !request.device ||
		    !plainly_allowed(&request, 1 << GUARD_PATH_MAP)) {
			result = judge(&request);
			if (result)
				return hook_result(result);
		}
		if (!modified)
			return 0;
	}
	return hook_result(judge_memory(&request.caller, hook));
}

SEC("lsm/bprm_check_security")
int BPF_PROG(guard_exec_judge, struct linux_binprm *bprm, int ret)
{
	struct request request;
	struct file *file;

	if (ret)
		return ret;
	switch (begin(&request.caller, GUARD_SECTION_EXEC, GUARD_HOOK_BPRM_CHECK_SECURITY)) {
	case GATE_PASS:
		return 0;
	case GATE_REFUSE:
		return -EACCES;
	}
	file = bprm->file;
	ask(&request, file->f_path.dentry, GUARD_PATH_EXEC, NO_VERB, GUARD_SECTION_EXEC,
	    GUARD_HOOK_BPRM_CHECK_SECURITY);
	if (nameless(file))
		request.device = unrefined(DEVICE_ANONYMOUS, opaque_zero(request.caller.tables));
	if (!is_canary(&request.caller) && request.device &&
	    plainly_allowed(&request, 1 << GUARD_PATH_EXEC))
		return 0;
	return hook_result(judge(&request));
}

static __always_inline int gate_mmap(struct file *file, unsigned long prot, unsigned long flags)
{
	bool modified;

	if (!(prot & PROT_EXEC_BIT))
		return 0;
	if (file && maps_program(file))
		return 0;
	modified = prot & PROT_WRITE_BIT && !(flags & MAP_SHARED_BIT);
	return gate_mapping(file, modified, GUARD_HOOK_MMAP_FILE);
}

/* ``prot`` is what will be: with what personality(READ_IMPLIES_EXEC) adds. */
SEC("lsm/mmap_file")
int BPF_PROG(guard_mmap_exec, struct file *file, unsigned long asked, unsigned long prot,
	     unsigned long flags, int ret)
{
	return ret ? ret : gate_mmap(file, prot, flags);
}

/*
 * Whether reading implies executing for the caller. A function for its stack's sake: 6.1
 * has 512 bytes for all, and the walk needs what is left.
 */
static __noinline bool reading_executes(void)
{
	struct task_struct___exec *task = (void *)bpf_get_current_task_btf();
	__u32 personality = 0;

	bpf_probe_read_kernel(&personality, sizeof(personality), &task->personality);
	return personality & READ_IMPLIES_EXEC_BIT;
}

/* For security_mmap_file, which is told what was asked for and adds to it itself. */
SEC("lsm/mmap_file")
int BPF_PROG(guard_security_mmap_exec, struct file *file, unsigned long prot, unsigned long flags,
	     int ret)
{
	if (ret)
		return ret;
	if (prot & PROT_READ_BIT && reading_executes())
		prot |= PROT_EXEC_BIT;
	return gate_mmap(file, prot, flags);
}

SEC("lsm/file_mprotect")
int BPF_PROG(guard_mprotect_exec, struct vm_area_struct *area, unsigned long asked,
	     unsigned long prot, int ret)
{
	bool shared, modified;
	struct file *file;
	__u64 pages = 0;

	if (ret)
		return ret;
	if (!(prot & PROT_EXEC_BIT))
		return 0;
	file = area->vm_file;
	shared = area->vm_flags & VM_SHARED_BIT;
	/* A page of its own, written before or after: no longer the file's contents. */
	READ_AT(pages, number_of(area), struct vm_area_struct, anon_vma);
	modified = !shared && (pages || prot & PROT_WRITE_BIT);
	if (area->vm_flags & VM_EXEC_BIT && !modified)
		return 0;
	return gate_mapping(file, modified, GUARD_HOOK_FILE_MPROTECT);
}
