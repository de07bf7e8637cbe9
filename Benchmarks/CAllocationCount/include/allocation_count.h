// SPDX-License-Identifier: MIT
// Counts the allocations of the whole process, Swift's and the C library's alike: every call of malloc, calloc,
// realloc, posix_memalign, aligned_alloc, memalign, valloc and pvalloc, whether it succeeds or not. Frees are not
// counted.
//
// The counting functions take the place of the C library's own in the program that links this target, for its shared
// libraries too. The count is one relaxed atomic for all threads: what is measured here is that a hot path does *not*
// allocate, so what an allocation then costs matters little.
#pragma once

#include <stdbool.h>
#include <stdint.h>

/// Calls so far, by all threads. It does not order other memory accesses.
uint64_t allocation_count(void);

/// Whether allocations are counted: not without glibc, and not under a sanitizer, which brings an allocator of its own.
bool allocation_count_is_available(void);
