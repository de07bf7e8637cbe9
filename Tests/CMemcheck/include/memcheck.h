// SPDX-License-Identifier: MIT
#ifndef LRP2P_MEMCHECK_H
#define LRP2P_MEMCHECK_H
#include <stddef.h>
#include <valgrind/memcheck.h>

/* Has valgrind's memcheck report every branch and every address that depends on these bytes. */
static inline void memcheck_hide(const void *bytes, size_t count) { (void)VALGRIND_MAKE_MEM_UNDEFINED(bytes, count); }
/* Ends that: they are known to others, or to the one who is told. */
static inline void memcheck_show(const void *bytes, size_t count) { (void)VALGRIND_MAKE_MEM_DEFINED(bytes, count); }
static inline int memcheck_is_running(void) { return (int)RUNNING_ON_VALGRIND; }
#endif
