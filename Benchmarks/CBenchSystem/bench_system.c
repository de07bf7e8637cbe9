// SPDX-License-Identifier: MIT
// Only here, never in the header: see clinux.h.
#define _GNU_SOURCE

#include "bench_system.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

int bench_spawn(const char *arguments, int count, int *pid, int *output) {
  char *vector[65] = {NULL};
  if (count < 1 || count > 64) return -E2BIG;
  for (int i = 0; i < count; i++) {
    vector[i] = (char *)(uintptr_t)arguments;
    arguments += strlen(arguments) + 1;
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
  posix_spawn_file_actions_t actions;
  int result = posix_spawn_file_actions_init(&actions);
  if (result == 0) {
    result = posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    if (result == 0) result = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    pid_t child = 0;
    if (result == 0) result = posix_spawn(&child, "/proc/self/exe", &actions, NULL, vector, environ);
    *pid = child;
    posix_spawn_file_actions_destroy(&actions);
  }
  close(ends[1]);
  if (result != 0) {
    close(ends[0]);
    return -result;
  }
  *output = ends[0];
  return 0;
}

int bench_kill(int pid) { return lrp2p_result(kill(pid, SIGKILL)); }

int bench_reap(int pid) {
  int status = 0;
  long result;
  do result = waitpid(pid, &status, 0);
  while (result < 0 && errno == EINTR);
  if (result < 0) return -errno;
  return WIFSIGNALED(status) ? -1000 - WTERMSIG(status) : WEXITSTATUS(status);
}

int bench_end_with_parent(int parent) {
  int result = lrp2p_result(prctl(PR_SET_PDEATHSIG, SIGKILL));
  // The parent may have ended before the kernel was told.
  return result < 0 ? result : getppid() == parent ? 0 : -ESRCH;
}

int bench_process_id(void) { return getpid(); }

int bench_pin(int cpu) {
  if (cpu < 0 || cpu >= CPU_SETSIZE) return -EINVAL;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return lrp2p_result(sched_setaffinity(0, sizeof set, &set));
}

int bench_processors(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }

uint64_t bench_thread_cpu_time(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t bench_cpu_time(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  uint64_t microseconds = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u;
  return (microseconds + (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)) * 1000u;
}

int bench_wait_any(const int *fds, int count, uint64_t timeout_nanoseconds, uint32_t *ready) {
  struct pollfd entries[32];
  *ready = 0;
  if (count < 0 || count > 32) return -EINVAL;
  for (int i = 0; i < count; i++) entries[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
  struct timespec timeout = {
      .tv_sec = (time_t)(timeout_nanoseconds / 1000000000u), .tv_nsec = (long)(timeout_nanoseconds % 1000000000u)};
  int result = lrp2p_result(ppoll(entries, (nfds_t)count, &timeout, NULL));
  for (int i = 0; i < count; i++) {
    if (result > 0 && entries[i].revents != 0) *ready |= (uint32_t)1 << i;
  }
  return result == -EINTR ? 0 : result;
}

int bench_wait_readable(int fd, uint64_t timeout_nanoseconds) {
  uint32_t ready;
  return bench_wait_any(&fd, 1, timeout_nanoseconds, &ready);
}

static int tcp_socket(struct lrp2p_address address, int mss, struct sockaddr_in6 *name, socklen_t *length) {
  int family = address.high == 0 && address.low >> 32 == 0xFFFF ? AF_INET : AF_INET6;
  *length = lrp2p_store_address(name, family, address);
  int fd = lrp2p_result(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd < 0) return fd;
  lrp2p_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  int result = mss == 0 ? 0 : lrp2p_set_option(fd, IPPROTO_TCP, TCP_MAXSEG, mss);
  if (result >= 0) return fd;
  close(fd);
  return result;
}

static void set_timeouts(int fd) {
  struct timeval second = {.tv_sec = 1};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
}

int bench_tcp_listen(struct lrp2p_address address, int mss) {
  struct sockaddr_in6 name;
  socklen_t length;
  int fd = tcp_socket(address, mss, &name, &length);
  if (fd < 0) return fd;
  int result = lrp2p_result(bind(fd, (const struct sockaddr *)&name, length));
  if (result >= 0) result = lrp2p_result(listen(fd, 1));
  if (result >= 0) return fd;
  close(fd);
  return result;
}

int bench_tcp_accept(int fd, uint64_t timeout_nanoseconds) {
  int ready = bench_wait_readable(fd, timeout_nanoseconds);
  if (ready <= 0) return ready == 0 ? -ETIMEDOUT : ready;
  int accepted = lrp2p_result(accept4(fd, NULL, NULL, SOCK_CLOEXEC));
  if (accepted >= 0) set_timeouts(accepted);
  return accepted;
}

int bench_tcp_connect(struct lrp2p_address address, int mss) {
  struct sockaddr_in6 name;
  socklen_t length;
  int fd = tcp_socket(address, mss, &name, &length);
  if (fd < 0) return fd;
  set_timeouts(fd);
  int result = lrp2p_result(connect(fd, (const struct sockaddr *)&name, length));
  if (result >= 0) return fd;
  close(fd);
  return result;
}

int bench_tcp_segment(int fd) {
  int value = 0;
  int result = lrp2p_get_option(fd, IPPROTO_TCP, TCP_MAXSEG, &value);
  return result < 0 ? result : value;
}

static long result_of(ssize_t count) { return count < 0 ? -errno : count; }

long bench_send(int fd, const void *bytes, size_t count) { return result_of(send(fd, bytes, count, MSG_NOSIGNAL)); }
long bench_receive(int fd, void *bytes, size_t count) { return result_of(recv(fd, bytes, count, 0)); }

long bench_send_to(int fd, int family, struct lrp2p_address address, const void *bytes, size_t count) {
  struct sockaddr_in6 name;
  socklen_t length = lrp2p_store_address(&name, family, address);
  if (length == 0) return -EAFNOSUPPORT;
  return result_of(sendto(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&name, length));
}

long bench_receive_from(int fd, struct lrp2p_address *address, void *bytes, size_t count) {
  struct sockaddr_in6 name;
  socklen_t length = sizeof name;
  long result = result_of(recvfrom(fd, bytes, count, MSG_DONTWAIT, (struct sockaddr *)&name, &length));
  if (result >= 0) *address = lrp2p_load_address(&name);
  return result;
}
