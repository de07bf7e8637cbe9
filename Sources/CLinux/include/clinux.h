// SPDX-License-Identifier: MIT
// The kernel, as Swift can call it: system calls that return -errno, control messages, the clock. No policy and no
// state: every function is a thin wrapper.
//
// _GNU_SOURCE stays undefined: it changes types (fd_set) that Swift also imports from its own view of the C library,
// and the two would clash. What it would have brought (mmsghdr, in6_pktinfo) is declared here.
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

// Older C libraries lack some of the kernel's numbers.
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef SO_RXQ_OVFL
#define SO_RXQ_OVFL 40
#endif
#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif
#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#ifndef SO_SNDBUFFORCE
#define SO_SNDBUFFORCE 32
#endif
#ifndef SO_RCVBUFFORCE
#define SO_RCVBUFFORCE 33
#endif

// The levels of options, in one place.
enum lrp2p_option_level {
  LRP2P_SOL_SOCKET = SOL_SOCKET,
  LRP2P_SOL_IP = IPPROTO_IP,
  LRP2P_SOL_IPV6 = IPPROTO_IPV6,
  LRP2P_SOL_UDP = SOL_UDP,
};

// MARK: Descriptors

static inline int lrp2p_result(long result) { return result < 0 ? -errno : (int)result; }

static inline int lrp2p_close(int fd) { return lrp2p_result(close(fd)); }

static inline int lrp2p_eventfd(void) { return lrp2p_result(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)); }

/// Adds 1 to the eventfd's counter; -EAGAIN when it is full, and then it is readable anyway.
static inline int lrp2p_eventfd_signal(int fd) {
  uint64_t one = 1;
  return lrp2p_result(write(fd, &one, sizeof one));
}

/// Resets the eventfd's counter; -EAGAIN when it was 0.
static inline int lrp2p_eventfd_clear(int fd) {
  uint64_t counter;
  return lrp2p_result(read(fd, &counter, sizeof counter));
}

// MARK: Threads

/// Names the calling thread; what is beyond 15 bytes is cut off.
static inline void lrp2p_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/// Has the calling thread's sleeps end when their time has come, not up to 50 µs later.
static inline void lrp2p_refuse_timer_slack(void) { prctl(PR_SET_TIMERSLACK, 1); }

// MARK: Clock

/// Nanoseconds since boot, suspend included.
static inline uint64_t lrp2p_boottime(void) {
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/// The processor's own counter of time: the TSC, or the virtual counter of ARM's generic timer. 0 where there is none.
static inline uint64_t lrp2p_counter(void) {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t ticks;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
  return 0;
#endif
}

/// A timer on the clock of `lrp2p_boottime`, not started.
static inline int lrp2p_timerfd(void) { return lrp2p_result(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC)); }

/// Has the timer go off once, at `instant` (at once when that has passed), instead of when it was to before.
static inline int lrp2p_timerfd_start(int fd, uint64_t instant) {
  struct itimerspec t = {.it_value = {(time_t)(instant / 1000000000u), (long)(instant % 1000000000u)}};
  return lrp2p_result(timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL));
}

/// Sleeps for less than a second, or until a signal comes.
static inline void lrp2p_sleep(uint64_t nanoseconds) {
  struct timespec t = {0, (long)(nanoseconds < 999999999u ? nanoseconds : 999999999u)};
  nanosleep(&t, NULL);
}

// MARK: epoll

static inline int lrp2p_epoll_create(void) { return lrp2p_result(epoll_create1(EPOLL_CLOEXEC)); }

/// `operation` is EPOLL_CTL_ADD, _MOD or _DEL. The token is what `lrp2p_epoll_wait_either` (0 to 4) sorts events by and
/// `lrp2p_epoll_ready` reports.
static inline int lrp2p_epoll_control(int epoll, int operation, int fd, uint32_t events, uint32_t token) {
  struct epoll_event event = {.events = events, .data = {.u64 = token}};
  return lrp2p_result(epoll_ctl(epoll, operation, fd, &event));
}

/// What `lrp2p_epoll_wait_either` has found, by token.
typedef struct { uint32_t token[5]; } lrp2p_epoll_events;

/// `epoll_pwait2`, with a timeout in nanoseconds (UINT64_MAX: for ever).
static inline int lrp2p_epoll_wait_fine(int epoll, struct epoll_event *events, int capacity, uint64_t timeout) {
#ifdef SYS_epoll_pwait2
  // The system call's own layout: 64-bit fields on every architecture.
  struct { int64_t seconds, nanoseconds; } t = {(int64_t)(timeout / 1000000000u), (int64_t)(timeout % 1000000000u)};
  return lrp2p_result(syscall(
      SYS_epoll_pwait2, epoll, events, capacity, timeout == UINT64_MAX ? NULL : (void *)&t, NULL, (size_t)0));
#else
  (void)epoll, (void)events, (void)capacity, (void)timeout;
  return -ENOSYS;
#endif
}

/// `epoll_pwait`, whose timeout is rounded up to milliseconds.
static inline int lrp2p_epoll_wait_coarse(int epoll, struct epoll_event *events, int capacity, uint64_t timeout) {
  int milliseconds = -1;
  if (timeout != UINT64_MAX) {
    uint64_t up = timeout / 1000000u + (timeout % 1000000u != 0);
    milliseconds = up > INT32_MAX ? INT32_MAX : (int)up;
  }
  return lrp2p_result(epoll_pwait(epoll, events, capacity, milliseconds, NULL));
}

/// Waits until a descriptor is ready or `timeout` nanoseconds have passed (UINT64_MAX: for ever), and sets the events
/// of all tokens. Returns the number of ready descriptors.
///
/// Where the one system call is missing or refused (`epoll_pwait2` before Linux 5.11, either behind a filter) the other is
/// tried; `is_coarse` remembers that only milliseconds are left.
static inline int lrp2p_epoll_wait_either(int epoll, uint64_t timeout, lrp2p_epoll_events *found, bool *is_coarse) {
  enum { most = 6 };
  struct epoll_event events[most];
  // A poll needs no timer, and is a third faster without.
  bool fine = timeout != 0 && !*is_coarse;
  int count = fine ? lrp2p_epoll_wait_fine(epoll, events, most, timeout) : lrp2p_epoll_wait_coarse(epoll, events, most, timeout);
  if (count < 0 && count != -EINTR) {
    count = fine ? lrp2p_epoll_wait_coarse(epoll, events, most, timeout) : lrp2p_epoll_wait_fine(epoll, events, most, timeout);
    if (fine && (count >= 0 || count == -EINTR)) *is_coarse = true;
  }
  *found = (lrp2p_epoll_events){{0, 0, 0, 0, 0}};
  for (int i = 0; i < count; i++) found->token[events[i].data.u64] |= events[i].events;
  return count;
}

/// The same for who waits too rarely to remember anything.
static inline int lrp2p_epoll_wait(int epoll, uint64_t timeout, lrp2p_epoll_events *found) {
  bool is_coarse = false;
  return lrp2p_epoll_wait_either(epoll, timeout, found, &is_coarse);
}

/// Stores up to `capacity` (at most 64) descriptors that are ready now, whose tokens are themselves, and their events.
/// Does not wait. Returns their number.
static inline int lrp2p_epoll_ready(int epoll, int32_t *descriptors, uint32_t *events, int capacity) {
  struct epoll_event found[64];
  int count = lrp2p_result(epoll_pwait(epoll, found, capacity < 64 ? capacity : 64, 0, NULL));
  for (int i = 0; i < count; i++) {
    descriptors[i] = (int32_t)found[i].data.u64;
    events[i] = found[i].events;
  }
  return count;
}

// MARK: Addresses

/// An IP address and port as Swift keeps it: IPv4 in its IPv4-mapped IPv6 form, all in host order.
struct lrp2p_address {
  uint64_t high, low;
  uint32_t scope;
  uint16_t port;
};

/// Writes the socket address of `family`; returns its length, or 0 when the family cannot express the address.
static inline socklen_t lrp2p_store_address(struct sockaddr_in6 *to, int family, struct lrp2p_address from) {
  if (family == AF_INET) {
    bool mapped = from.high == 0 && from.low >> 32 == 0xFFFF;
    if (!mapped && (from.high | from.low) != 0) return 0;
    struct sockaddr_in *v4 = (struct sockaddr_in *)to;
    memset(v4, 0, sizeof *v4);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(from.port);
    v4->sin_addr.s_addr = htonl((uint32_t)from.low);
    return sizeof *v4;
  }
  uint64_t high = __builtin_bswap64(from.high), low = __builtin_bswap64(from.low);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  high = from.high, low = from.low;
#endif
  to->sin6_family = AF_INET6;
  to->sin6_port = htons(from.port);
  to->sin6_flowinfo = 0;
  memcpy(&to->sin6_addr.s6_addr[0], &high, 8);
  memcpy(&to->sin6_addr.s6_addr[8], &low, 8);
  to->sin6_scope_id = from.scope;
  return sizeof *to;
}

/// Reads a socket address of either family.
static inline struct lrp2p_address lrp2p_load_address(const struct sockaddr_in6 *from) {
  struct lrp2p_address to = {0, 0, 0, 0};
  if (from->sin6_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
    to.low = 0x0000FFFF00000000u | ntohl(v4->sin_addr.s_addr);
    to.port = ntohs(v4->sin_port);
  } else if (from->sin6_family == AF_INET6) {
    memcpy(&to.high, &from->sin6_addr.s6_addr[0], 8);
    memcpy(&to.low, &from->sin6_addr.s6_addr[8], 8);
#if __BYTE_ORDER__ != __ORDER_BIG_ENDIAN__
    to.high = __builtin_bswap64(to.high);
    to.low = __builtin_bswap64(to.low);
#endif
    to.scope = from->sin6_scope_id;
    to.port = ntohs(from->sin6_port);
  }
  return to;
}

/// Parses an address without a port, dotted or with colons; false when it is neither.
static inline bool lrp2p_parse_host(const char *text, struct lrp2p_address *to) {
  struct sockaddr_in6 name;
  memset(&name, 0, sizeof name);
  if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&name)->sin_addr) == 1) {
    name.sin6_family = AF_INET;
  } else if (inet_pton(AF_INET6, text, &name.sin6_addr) == 1) {
    name.sin6_family = AF_INET6;
  } else {
    return false;
  }
  *to = lrp2p_load_address(&name);
  return true;
}

/// Writes the address without its port as text (RFC 5952); `to` takes INET6_ADDRSTRLEN (46) bytes.
static inline bool lrp2p_format_host(struct lrp2p_address from, bool v4, char *to) {
  struct sockaddr_in6 name;
  lrp2p_store_address(&name, v4 ? AF_INET : AF_INET6, from);
  const void *bytes = v4 ? (const void *)&((struct sockaddr_in *)&name)->sin_addr : (const void *)&name.sin6_addr;
  return inet_ntop(v4 ? AF_INET : AF_INET6, bytes, to, INET6_ADDRSTRLEN) != NULL;
}

/// The index of a network interface by name, 0 when there is none.
static inline uint32_t lrp2p_interface_index(const char *name) { return if_nametoindex(name); }

/// getaddrinfo for UDP: fills up to `capacity` addresses and sets `count`. Returns 0 or an EAI_ code, and for
/// EAI_SYSTEM -errno.
static inline int lrp2p_resolve(
    const char *host, const char *port, struct lrp2p_address *to, size_t capacity, size_t *count) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM}, *list = NULL;
  *count = 0;
  int code = getaddrinfo(host, port, &hints, &list);
  if (code != 0) return code;
  for (struct addrinfo *i = list; i != NULL && *count < capacity; i = i->ai_next) {
    if (i->ai_family != AF_INET && i->ai_family != AF_INET6) continue;
    to[(*count)++] = lrp2p_load_address((const struct sockaddr_in6 *)(const void *)i->ai_addr);
  }
  freeaddrinfo(list);
  return 0;
}

/// What an error of `lrp2p_resolve` means.
static inline const char *lrp2p_resolve_error_text(int code) {
  return code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code);
}

/// What an errno means.
static inline const char *lrp2p_error_text(int code) { return strerror(code); }

// MARK: Sockets

/// A non-blocking, close-on-exec UDP socket.
static inline int lrp2p_udp_socket(int family) {
  return lrp2p_result(socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP));
}

/// -EAFNOSUPPORT when the family cannot express the address.
static inline int lrp2p_bind(int fd, int family, struct lrp2p_address address) {
  struct sockaddr_in6 name;
  socklen_t length = lrp2p_store_address(&name, family, address);
  if (length == 0) return -EAFNOSUPPORT;
  return lrp2p_result(bind(fd, (const struct sockaddr *)&name, length));
}

static inline int lrp2p_local_address(int fd, struct lrp2p_address *to) {
  struct sockaddr_in6 name;
  socklen_t length = sizeof name;
  memset(&name, 0, sizeof name);
  int result = lrp2p_result(getsockname(fd, (struct sockaddr *)&name, &length));
  if (result >= 0) *to = lrp2p_load_address(&name);
  return result;
}

static inline int lrp2p_set_option(int fd, int level, int option, int value) {
  return lrp2p_result(setsockopt(fd, level, option, &value, sizeof value));
}

static inline int lrp2p_get_option(int fd, int level, int option, int *value) {
  socklen_t length = sizeof *value;
  return lrp2p_result(getsockopt(fd, level, option, value, &length));
}

/// Refuses what is no UDP socket, or is connected to one address; makes it non-blocking and closed on exec. Returns its family.
static inline int lrp2p_adopt(int fd) {
  int type = 0, protocol = 0, family = 0;
  int result = lrp2p_get_option(fd, SOL_SOCKET, SO_TYPE, &type);
  if (result >= 0) result = lrp2p_get_option(fd, SOL_SOCKET, SO_PROTOCOL, &protocol);
  if (result >= 0) result = lrp2p_get_option(fd, SOL_SOCKET, SO_DOMAIN, &family);
  if (result < 0) return result;
  if (family != AF_INET && family != AF_INET6) return -EAFNOSUPPORT;
  if (type != SOCK_DGRAM || protocol != IPPROTO_UDP) return -EPROTOTYPE;
  struct sockaddr_storage name;
  socklen_t length = sizeof name;
  if (getpeername(fd, (struct sockaddr *)&name, &length) == 0) return -EISCONN;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return -errno;
  return family;
}

static inline int lrp2p_bind_to_device(int fd, const char *name) {
  return lrp2p_result(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)));
}

/// Datagrams that the socket has lost so far, modulo 2^32: those its filter refused, and those its buffer had no room for.
static inline int lrp2p_socket_drops(int fd, uint32_t *drops) {
  // SK_MEMINFO_DROPS of linux/sock_diag.h.
  enum { position = 8 };
  uint32_t figures[position + 1];
  socklen_t length = sizeof figures;
  int result = lrp2p_result(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, figures, &length));
  if (result >= 0 && length < sizeof figures) return -ENOPROTOOPT;
  if (result >= 0) *drops = figures[position];
  return result;
}

/// Attaches a classic BPF program: `option` is SO_ATTACH_FILTER or SO_ATTACH_REUSEPORT_CBPF. The kernel copies it.
static inline int lrp2p_attach_program(int fd, int option, const struct sock_filter *code, uint16_t count) {
  struct sock_fprog program = {.len = count, .filter = (struct sock_filter *)code};
  return lrp2p_result(setsockopt(fd, SOL_SOCKET, option, &program, sizeof program));
}

// MARK: Small files

/// Opens for reading and sets the permission bits; a non-regular file is -EINVAL.
static inline int lrp2p_open_read(const char *path, uint32_t *mode) {
  int fd = lrp2p_result(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd < 0) return fd;
  struct stat status;
  int result = lrp2p_result(fstat(fd, &status));
  if (result >= 0 && !S_ISREG(status.st_mode)) result = -EINVAL;
  if (result < 0) {
    close(fd);
    return result;
  }
  *mode = status.st_mode & 07777;
  return fd;
}

/// Copies the value of an environment variable, without its end; returns its length, cut to capacity, or -ENOENT.
static inline long lrp2p_environment(const char *name, void *to, size_t capacity) {
  const char *value = getenv(name);
  if (value == NULL) return -ENOENT;
  size_t length = strnlen(value, capacity);
  memcpy(to, value, length);
  return (long)length;
}

/// Creates a file that must not exist yet (O_EXCL), for writing.
static inline int lrp2p_create(const char *path, uint32_t mode) {
  return lrp2p_result(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode));
}

static inline int lrp2p_read(int fd, void *to, size_t count) { return lrp2p_result(read(fd, to, count)); }
static inline int lrp2p_write(int fd, const void *from, size_t count) { return lrp2p_result(write(fd, from, count)); }
static inline int lrp2p_sync(int fd) { return lrp2p_result(fsync(fd)); }
static inline int lrp2p_unlink(const char *path) { return lrp2p_result(unlink(path)); }

// MARK: Memory

/// Overwrites with zeros; the compiler may not leave it out.
static inline void lrp2p_wipe(void *bytes, size_t count) { explicit_bzero(bytes, count); }

/// Overwrites so much of the stack below the caller's frame.
void lrp2p_wipe_stack(void);

static inline size_t lrp2p_page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/// Whole pages of anonymous memory that core dumps leave out.
int lrp2p_secret_pages(size_t count, void **start);

/// A page that a forked child finds empty; -EINVAL before Linux 4.14.
int lrp2p_mark_page(void **start);

static inline int lrp2p_lock_pages(const void *start, size_t count) { return lrp2p_result(syscall(SYS_mlock, start, count)); }

/// Bytes that the process may lock (RLIMIT_MEMLOCK).
uint64_t lrp2p_lock_limit(void);

void lrp2p_unmap(void *start, size_t count);

/// The process, never as it was before a fork.
static inline int lrp2p_process(void) { return (int)syscall(SYS_getpid); }

/// Asks for huge pages in a range of anonymous memory. `start` has to be at the start of a page.
static inline int lrp2p_advise_huge_pages(const void *start, size_t count) {
  return lrp2p_result(syscall(SYS_madvise, start, count, 14 /* MADV_HUGEPAGE */));
}
