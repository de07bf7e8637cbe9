// SPDX-License-Identifier: MIT
// What the harness needs of the system beyond CLinux: processes, their processor and their use of it, and the plain
// sockets it compares with. Thin wrappers that return -errno.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clinux.h"

// MARK: Processes

/// Starts this very program again. Its standard output is a pipe whose other end goes to `output`; its standard input
/// is empty; it shares standard error. `arguments` are `count` strings, one behind the other, each with its zero byte;
/// at most 64.
int bench_spawn(const char *arguments, int count, int *pid, int *output);

/// Sends SIGKILL.
int bench_kill(int pid);

/// Waits for the end of a child: its exit status, or minus the signal that ended it minus 1000.
int bench_reap(int pid);

/// Has the kernel end this process when its parent ends; -ESRCH when `parent` is already gone.
int bench_end_with_parent(int parent);

int bench_process_id(void);

/// Keeps the calling thread, and those that it starts, on one processor.
int bench_pin(int cpu);

/// Processors that are in use.
int bench_processors(void);

/// Processor time of this process so far, user and system, in nanoseconds.
uint64_t bench_cpu_time(void);

/// The same of the calling thread.
uint64_t bench_thread_cpu_time(void);

// MARK: Descriptors

/// Waits until `fd` is readable or at its end: 1, or 0 when the time is over.
int bench_wait_readable(int fd, uint64_t timeout_nanoseconds);

/// Waits until any of at most 32 descriptors (-1: none) is readable or at its end, and sets the bit of each that is.
int bench_wait_any(const int *fds, int count, uint64_t timeout_nanoseconds, uint32_t *ready);

// MARK: Plain sockets

/// A listening TCP socket that offers its peers the given maximum segment size (0: the interface's).
int bench_tcp_listen(struct lrp2p_address address, int mss);

/// Accepts one connection, waiting at most so long (-ETIMEDOUT).
int bench_tcp_accept(int fd, uint64_t timeout_nanoseconds);

/// A connected TCP socket. Reads and writes on it give up after one second without progress (-EAGAIN).
int bench_tcp_connect(struct lrp2p_address address, int mss);

/// The segment size in force.
int bench_tcp_segment(int fd);

long bench_send(int fd, const void *bytes, size_t count);
long bench_receive(int fd, void *bytes, size_t count);

/// One datagram to and from a socket of `family`, without blocking.
long bench_send_to(int fd, int family, struct lrp2p_address address, const void *bytes, size_t count);
long bench_receive_from(int fd, struct lrp2p_address *address, void *bytes, size_t count);
