// SPDX-License-Identifier: MIT
#pragma once

#include <sys/syscall.h>

/// Has every later io_uring_setup of the calling thread fail with EPERM, as a container's filter does. Returns -errno.
int system_call_filter_refuse_io_uring(void);
/// Has every later sendto, sendmsg and sendmmsg of the calling thread fail with EAGAIN, as behind a full queue. Returns -errno.
int system_call_filter_refuse_sends(void);
/// Has every later system call with number `call` of the calling thread fail with `error`. Returns -errno.
int system_call_filter_refuse(int call, int error);
/// The same for setsockopt and getsockopt (`call`) of one option only.
int system_call_filter_refuse_option(int call, int level, int option, int error);
