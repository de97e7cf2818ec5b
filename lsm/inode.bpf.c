// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The file gate, for what is done to names and to attributes.
 *
 * inode_create, inode_mkdir, inode_symlink: create. inode_mknod: mkdev, mkfifo or
 *   mksock, by the kind of node. inode_unlink, inode_rmdir: delete.
 * In twonames.bpf.c: inode_rename: rename on the old name, create on the new, delete on what is
 *   replaced; an exchange comes twice, once each way. A directory is not renamed
 *   where rules tell apart what is below its old or its new name.
 * inode_link: link on the file, create on the new name; and the new name may
 *   not allow what the old one does not, under any policy of the set.
 * inode_setattr: setattr for mode, owner and times; write for a new size,
 *   which is how every way to truncate ends. inode_setxattr,
 *   inode_removexattr, inode_set_acl, inode_remove_acl, inode_file_setattr: setattr.
 *
 * Hooks on inodes and not on paths: they are called for every way to do the
 * thing, nfsd's and io_uring's too, and know the name by its dentry.
 *
 * Not covered here: files without a name (O_TMPFILE), until they are linked.
 */
#include "entry.h"

/* include/linux/fs.h */
enum {
	ATTR_BITS_MODE = 1 << 0,
	ATTR_BITS_UID = 1 << 1,
	ATTR_BITS_GID = 1 << 2,
	ATTR_BITS_SIZE = 1 << 3,
	ATTR_BITS_TIMES = 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8,
	ATTR_BITS_FORCE = 1 << 9,
	ATTR_BITS_OPEN = 1 << 15,
};

struct iattr {
	unsigned int ia_valid;
} KERNEL_TYPE;

SEC("lsm/inode_create")
int BPF_PROG(guard_inode_create, struct inode *dir, struct dentry *dentry, unsigned short mode,
	     int ret)
{
	if (ret)
		return ret;
	return gate_at(dentry, GUARD_PATH_CREATE, NO_VERB, GUARD_SECTION_FILE,
		       GUARD_HOOK_INODE_CREATE);
}

SEC("lsm/inode_mkdir")
int BPF_PROG(guard_inode_mkdir, struct inode *dir, struct dentry *dentry, unsigned short mode,
	     int ret)
{
	if (ret)
		return ret;
	return gate_at(dentry, GUARD_PATH_CREATE, NO_VERB, GUARD_SECTION_FILE,
		       GUARD_HOOK_INODE_MKDIR);
}

SEC("lsm/inode_symlink")
int BPF_PROG(guard_inode_symlink, struct inode *dir, struct dentry *dentry, const char *target,
	     int ret)
{
	if (ret)
		return ret;
	return gate_at(dentry, GUARD_PATH_CREATE, NO_VERB, GUARD_SECTION_FILE,
		       GUARD_HOOK_INODE_SYMLINK);
}

SEC("lsm/inode_mknod")
int BPF_PROG(guard_inode_mknod, struct inode *dir, struct dentry *dentry, unsigned short mode,
	     unsigned int device, int ret)
{
	__u32 kind = mode & S_IFMT, verb = GUARD_PATH_MKDEV;

	if (ret)
		return ret;
	if (kind == S_IFIFO)
		verb = GUARD_PATH_MKFIFO;
	else if (kind == S_IFSOCK)
		verb = GUARD_PATH_MKSOCK;
	else if (kind == S_IFREG || !kind)
		verb = GUARD_PATH_CREATE;
	return gate_at(dentry, verb, NO_VERB, GUARD_SECTION_FILE, GUARD_HOOK_INODE_MKNOD);
}

SEC("lsm/inode_unlink")
int BPF_PROG(guard_inode_unlink, struct inode *dir, struct dentry *dentry, int ret)
{
	if (ret)
		return ret;
	return gate_at(dentry, GUARD_PATH_DELETE, NO_VERB, GUARD_SECTION_FILE,
		       GUARD_HOOK_INODE_UNLINK);
}

SEC("lsm/inode_rmdir")
int BPF_PROG(guard_inode_rmdir, struct inode *dir, struct dentry *dentry, int ret)
{
	if (ret)
		return ret;
	return gate_at(dentry, GUARD_PATH_DELETE, NO_VERB, GUARD_SECTION_FILE,
		       GUARD_HOOK_INODE_RMDIR);
}

static __always_inline int set_attributes(struct dentry *dentry, struct iattr *attributes)
{
	__u32 valid = attributes->ia_valid, verb = GUARD_PATH_SETATTR;

	if (valid & ATTR_BITS_SIZE) {
		/* An open with O_TRUNC has been judged as one. */
		if (valid & ATTR_BITS_OPEN)
			return 0;
		verb = GUARD_PATH_WRITE;
	} else if (valid & ATTR_BITS_FORCE) {
		/* The kernel's own: a write takes set-user-ID and capabilities away. */
		return 0;
	} else if (!(valid & (ATTR_BITS_MODE | ATTR_BITS_UID | ATTR_BITS_GID | ATTR_BITS_TIMES))) {
		return 0;
	}
	return gate_at(dentry, verb, NO_VERB, GUARD_SECTION_FILE, GUARD_HOOK_INODE_SETATTR);
}

/* Before 6.12 the first argument, which later became the mount's idmap, is not there. */
SEC("lsm/inode_setattr")
int BPF_PROG(guard_inode_setattr_old, struct dentry *dentry, struct iattr *attributes, int ret)
{
	return ret ? ret : set_attributes(dentry, attributes);
}

SEC("lsm/inode_setattr")
int BPF_PROG(guard_inode_setattr, void *idmap, struct dentry *dentry, struct iattr *attributes,
	     int ret)
{
	return ret ? ret : set_attributes(dentry, attributes);
}

SEC("lsm/inode_setxattr")
int BPF_PROG(guard_inode_setxattr, void *idmap, struct dentry *dentry, const char *name,
	     const void *value, unsigned long size, int flags, int ret)
{
	if (ret)
		return ret;
	return gate_at(dentry, GUARD_PATH_SETATTR, NO_VERB, GUARD_SECTION_FILE,
		       GUARD_HOOK_INODE_SETXATTR);
}

SEC("lsm/inode_removexattr")
int BPF_PROG(guard_inode_removexattr, void *idmap, struct dentry *dentry, const char *name, int ret)
{
	if (ret)
		return ret;
	return gate_at(dentry, GUARD_PATH_SETATTR, NO_VERB, GUARD_SECTION_FILE,
		       GUARD_HOOK_INODE_REMOVEXATTR);
}

SEC("lsm/inode_set_acl")
int BPF_PROG(guard_inode_set_acl, void *idmap, struct dentry *dentry, const char *name, void *acl,
	     int ret)
{
	if (ret)
		return ret;
	return gate_at(dentry, GUARD_PATH_SETATTR, NO_VERB, GUARD_SECTION_FILE,
		       GUARD_HOOK_INODE_SET_ACL);
}

SEC("lsm/inode_remove_acl")
int BPF_PROG(guard_inode_remove_acl, void *idmap, struct dentry *dentry, const char *name, int ret)
{
	if (ret)
		return ret;
	return gate_at(dentry, GUARD_PATH_SETATTR, NO_VERB, GUARD_SECTION_FILE,
		       GUARD_HOOK_INODE_REMOVE_ACL);
}

/* chattr, where there is a hook for it; before, file_ioctl sees it. */
SEC("lsm/inode_file_setattr")
int BPF_PROG(guard_inode_file_setattr, struct dentry *dentry, void *attributes, int ret)
{
	if (ret)
		return ret;
	return gate_at(dentry, GUARD_PATH_SETATTR, NO_VERB, GUARD_SECTION_FILE,
		       GUARD_HOOK_INODE_FILE_SETATTR);
}
