// SPDX-License-Identifier: MIT
// What Glibc's module does not show of the file system, as it hides what needs _GNU_SOURCE: system calls that return -errno.
#pragma once

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/// Gives `from` the name `to`, unless something has that name (EEXIST). ENOSYS, EINVAL: not on this file system.
static inline int32_t lrp2p_rename_new(int32_t from_folder, const char *from, int32_t to_folder, const char *to) {
#ifdef SYS_renameat2
  return syscall(SYS_renameat2, from_folder, from, to_folder, to, 1u /* RENAME_NOREPLACE */) < 0 ? -errno : 0;
#else
  return -ENOSYS;
#endif
}

/// Puts everything of the file system that `descriptor` is on to the disk.
static inline int32_t lrp2p_sync_file_system(int32_t descriptor) {
  return syscall(SYS_syncfs, descriptor) < 0 ? -errno : 0;
}

/// A file in `folder` that has no name and goes away with its descriptor (O_TMPFILE), for reading and writing.
/// Returns the descriptor. EOPNOTSUPP, EISDIR, EINVAL: not on this file system.
int32_t lrp2p_open_nameless(int32_t folder, uint32_t mode);

/// Gives a file without a name this one, unless something has it (EEXIST).
int32_t lrp2p_name_file(int32_t file, int32_t folder, const char *name);

/// The kernel's number for the kind of file system (statfs), or 0.
uint32_t lrp2p_file_system_kind(int32_t descriptor);

/// O_PATH: a descriptor that only names a place. Nothing is read through it, so no permission to read is needed.
extern const int32_t lrp2p_place_only;

/// Whether the folder has an ACL that new files in it begin with.
int32_t lrp2p_has_default_acl(int32_t folder);
