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
