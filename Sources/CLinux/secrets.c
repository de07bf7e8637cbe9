// SPDX-License-Identifier: MIT
// For mmap's flags and madvise; what Swift sees of this file are plain functions.
#define _GNU_SOURCE
#include "clinux.h"
#include <sys/mman.h>
#include <sys/resource.h>

// Older C libraries lack it.
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

__attribute__((noinline)) void lrp2p_wipe_stack(void) {
  // As deep as a handshake goes, with room to spare.
  char block[32768];
  explicit_bzero(block, sizeof block);
}

static int map_pages(size_t count, void **start) {
  void *pages = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return -errno;
  *start = pages;
  return 0;
}

int lrp2p_secret_pages(size_t count, void **start) {
  int result = map_pages(count, start);
  if (result < 0) return result;
  madvise(*start, count, MADV_DONTDUMP);
  return 0;
}

int lrp2p_mark_page(void **start) {
  size_t count = lrp2p_page_size();
  int result = map_pages(count, start);
  if (result < 0) return result;
  if (madvise(*start, count, MADV_WIPEONFORK) == 0) return 0;
  result = -errno;
  munmap(*start, count);
  return result;
}

uint64_t lrp2p_lock_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return 0;
  return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

void lrp2p_unmap(void *start, size_t count) { munmap(start, count); }
