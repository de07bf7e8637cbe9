// SPDX-License-Identifier: MIT
// Calls that need _GNU_SOURCE or more than one system call.
#define _GNU_SOURCE
#include "cfiles.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

const int32_t lrp2p_place_only = O_PATH;

int32_t lrp2p_open_nameless(int32_t folder, uint32_t mode) {
#ifdef O_TMPFILE
  int32_t file;
  do {
    file = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, (mode_t)mode);
  } while (file < 0 && errno == EINTR);
  return file < 0 ? -errno : file;
#else
  return -EOPNOTSUPP;
#endif
}

int32_t lrp2p_name_file(int32_t file, int32_t folder, const char *name) {
  // The first needs a capability before Linux 6.10, and fails with ENOENT without it; the second needs /proc.
  static int by_path;
  if (!__atomic_load_n(&by_path, __ATOMIC_RELAXED)) {
    if (linkat(file, "", folder, name, AT_EMPTY_PATH) == 0) return 0;
    if (errno != ENOENT) return -errno;
  }
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  if (linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW) < 0) return -errno;
  __atomic_store_n(&by_path, 1, __ATOMIC_RELAXED);
  return 0;
}

uint32_t lrp2p_file_system_kind(int32_t descriptor) {
  struct statfs status;
  return fstatfs(descriptor, &status) == 0 ? (uint32_t)status.f_type : 0;
}

int32_t lrp2p_has_default_acl(int32_t folder) {
  return fgetxattr(folder, "system.posix_acl_default", NULL, 0) > 0;
}
