// SPDX-License-Identifier: MIT
#ifndef PROCESS_H
#define PROCESS_H
#include <stddef.h>
#include <stdint.h>

/* Counts the places in the memory of this process where each of `count` keys of 32 bytes stands. They are given one behind the other,
   each byte changed by `mask`, so that no copy is found that the one who searches has made. Returns how many bytes it has looked at. */
size_t process_find(const uint8_t *masked, size_t count, uint8_t mask, size_t *places);

/* Whether the kernel says this of the page at `address`, by two letters (proc_pid_smaps(5)): "dd" is in no core dump, "lo" locked. */
int process_page_is(const void *address, const char *flag);
/* Bytes that may be locked. */
size_t process_lock_limit(void);

/* The child's 0, or the process id of the child, which is ended after some seconds if it hangs. */
int process_fork(void);
/* Ends the child, without anything else. */
void process_exit(int code);
/* How the child has ended: its code, or -1 when it was killed. */
int process_wait(int child);
#endif
