// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The file gate, for what has two names: rename and link. See inode.bpf.c.
 *
 * The new name is judged first and the old one second, by one callback, so that
 * the verifier follows the walk once; what the new name was classified as is
 * kept for the comparison.
 */
#include "entry.h"

/* What can be done to a file by a name of it; other verbs are about the name itself. */
#define ACCESS_VERBS                                                                       \
	(1u << GUARD_PATH_READ | 1u << GUARD_PATH_WRITE | 1u << GUARD_PATH_APPEND |        \
	 1u << GUARD_PATH_SETATTR | 1u << GUARD_PATH_LOCK | 1u << GUARD_PATH_IOCTL |       \
	 1u << GUARD_PATH_EXEC | 1u << GUARD_PATH_MAP | 1u << GUARD_PATH_CONNECT |         \
	 1u << GUARD_PATH_SEND)

struct pair {
	struct request request;
	struct dentry *old;
	struct dentry *new;
	__u32 state[GUARD_LIMIT_GROUPS]; /* reached by the new name */
	__s32 error;
};

/* Policies that deny ``verb`` at the states that a name has reached. */
static __always_inline __u64 denied_by(const struct tables *tables, const __u32 *state, __u32 verb,
				       __u64 by_default)
{
	__u64 allow = 0, deny = 0;

#pragma unroll
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++) {
		__u32 row = cell(tables, state[group], GUARD_COLUMN_ROW * sizeof(__u32)) + 1;
		const struct guard_verb_row *masks = verb_row(tables, row, verb);

		allow |= masks->allow;
		deny |= masks->deny;
	}
	return deny | (by_default & ~allow);
}

/* Whether a policy denies at the old name what it does not deny at the new one. */
static __noinline int widens(const struct tables *tables, const __u32 *old, const __u32 *new,
			     __u64 policies)
{
	__u64 wider = opaque_zero(tables);

	for (__u32 verb = 0; verb < GUARD_LIMIT_VERBS; verb++) {
		const struct guard_gated *gated = &tables->root.section[GUARD_SECTION_FILE];

		if (!(ACCESS_VERBS >> verb & 1))
			continue;
		if (verb >= GUARD_PATH_BIND)
			gated = &tables->root.section[GUARD_SECTION_NET];
		else if (verb >= GUARD_PATH_EXEC)
			gated = &tables->root.section[GUARD_SECTION_EXEC];
		wider |= denied_by(tables, old, verb, gated->default_deny) &
			 ~denied_by(tables, new, verb, gated->default_deny) & gated->policies;
	}
	wider &= tables->root.enforce | policies;
	return wider != 0;
}

/*
 * Whether rules tell apart what is below the two names: the automata are in
 * different states, one of which does not say the same about everything below.
 */
static __always_inline bool told_apart(const __u32 *old, const __u32 *new)
{
	bool apart = false;

#pragma unroll
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++)
		if (old[group] != new[group] && !(old[group] & new[group] & GUARD_STATE_FINAL))
			apart = true;
	return apart;
}

static __always_inline bool is_directory(struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;

	return inode && (inode->i_mode & S_IFMT) == S_IFDIR;
}

/* bpf_loop's callback: judges the new name, then the old one. Returns 1 to end. */
static long judge_name(__u32 index, struct pair *pair)
{
	struct request *request = &pair->request;
	__u32 zero = opaque_zero(request->caller.tables);
	struct dentry *dentry = pair->new;
	struct object object;

	/* What is learned of the index must not be followed up through the walk. */
	if (unrefined(index, zero)) {
		dentry = pair->old;
		request->verb = unrefined(request->hook == GUARD_HOOK_INODE_LINK
						  ? GUARD_PATH_LINK
						  : GUARD_PATH_RENAME,
					  zero);
		request->other_verb = unrefined(NO_VERB, zero);
		request->second = number_of(pair->new);
	}
	request->dentry = dentry;
	begin_object(&object, request->caller.tables, dentry, request->device);
	object.subject = zero;
	classify(&object);
	if (!unrefined(index, zero)) {
#pragma unroll
		for (int group = 0; group < GUARD_LIMIT_GROUPS; group++)
			pair->state[group] = object.state[group];
	} else if (object.reason == GUARD_REASON_POLICY) {
		if (request->hook == GUARD_HOOK_INODE_LINK) {
			if (widens(request->caller.tables, object.state, pair->state,
				   request->caller.policies))
				object.reason = unrefined(GUARD_REASON_WIDENS, zero);
		} else if (is_directory(dentry) && told_apart(object.state, pair->state)) {
			object.reason = unrefined(GUARD_REASON_SUBTREE, zero);
		}
	}
	pair->error = conclude(&object, request);
	return pair->error != 0;
}

/*
 * Whether there is something to judge; else pair->error is the result. A function, so that
 * what it keeps on the stack is gone when the names are judged: 6.1 has 512 bytes for all.
 */
static __noinline bool begin_pair(struct pair *pair, struct dentry *old, struct dentry *new,
				  __u32 hook)
{
	int result;
	__u32 zero;

	if (!begin_at(&pair->request.caller, old, &result, GUARD_SECTION_FILE, hook)) {
		pair->error = result;
		return false;
	}
	zero = opaque_zero(pair->request.caller.tables);
	ask(&pair->request, new, GUARD_PATH_CREATE, new->d_inode ? GUARD_PATH_DELETE : NO_VERB,
	    GUARD_SECTION_FILE, hook);
	pair->request.hook = unrefined(hook, zero);
	pair->old = old;
	pair->new = new;
	pair->error = zero;
#pragma unroll
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++)
		pair->state[group] = zero;
	return true;
}

static __always_inline int gate_pair(struct dentry *old, struct dentry *new, const __u32 hook)
{
	struct pair pair;

	if (begin_pair(&pair, old, new, hook))
		bpf_loop(2, judge_name, &pair, 0);
	return hook_result(pair.error);
}

SEC("lsm/inode_rename")
int BPF_PROG(guard_inode_rename, struct inode *old_dir, struct dentry *old_dentry,
	     struct inode *new_dir, struct dentry *new_dentry, int ret)
{
	return ret ? ret : gate_pair(old_dentry, new_dentry, GUARD_HOOK_INODE_RENAME);
}

/* include/uapi/linux/fs.h */
enum {
	RENAME_EXCHANGE_FLAG = 1 << 1,
};

/* For security_inode_rename, which has the flags and calls the hooks twice by itself. */
SEC("lsm/inode_rename")
int BPF_PROG(guard_security_inode_rename, struct inode *old_dir, struct dentry *old_dentry,
	     struct inode *new_dir, struct dentry *new_dentry, unsigned int flags, int ret)
{
	if (ret)
		return ret;
	if (flags & RENAME_EXCHANGE_FLAG) {
		ret = gate_pair(new_dentry, old_dentry, GUARD_HOOK_INODE_RENAME);
		if (ret)
			return ret;
	}
	return gate_pair(old_dentry, new_dentry, GUARD_HOOK_INODE_RENAME);
}

SEC("lsm/inode_link")
int BPF_PROG(guard_inode_link, struct dentry *old_dentry, struct inode *dir,
	     struct dentry *new_dentry, int ret)
{
	return ret ? ret : gate_pair(old_dentry, new_dentry, GUARD_HOOK_INODE_LINK);
}
