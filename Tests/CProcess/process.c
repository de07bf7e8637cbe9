// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "process.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { length = 32, chunk = 1 << 20 };

// Which pairs of bytes a key begins with.
static uint8_t begins[1 << 16];

static void look(const uint8_t *bytes, size_t count, const uint8_t *masked, size_t keys, uint8_t mask, size_t *places) {
  for (const uint8_t *at = bytes; at + length <= bytes + count; at++) {
    if (!begins[at[0] << 8 | at[1]]) continue;
    for (size_t key = 0; key < keys; key++) {
      bool equal = true;
      for (int i = 0; equal && i < length; i++) equal = at[i] == (uint8_t)(masked[key * length + i] ^ mask);
      places[key] += equal;
    }
  }
}

size_t process_find(const uint8_t *masked, size_t count, uint8_t mask, size_t *places) {
  memset(places, 0, count * sizeof *places);
  uint8_t *buffer = mmap(NULL, chunk + length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  FILE *maps = fopen("/proc/self/maps", "re");
  if (buffer == MAP_FAILED || memory < 0 || maps == NULL) return 0;
  memset(begins, 0, sizeof begins);
  for (size_t key = 0; key < count; key++)
    begins[(uint8_t)(masked[key * length] ^ mask) << 8 | (uint8_t)(masked[key * length + 1] ^ mask)] = 1;
  size_t seen = 0;
  char line[512];
  while (fgets(line, sizeof line, maps) != NULL) {
    unsigned long start, end;
    char access[5];
    if (sscanf(line, "%lx-%lx %4s", &start, &end, access) != 3 || access[0] != 'r' || access[1] != 'w') continue;
    // A sanitizer's own notes.
    if (end - start > 1UL << 34) continue;
    for (unsigned long at = start; at < end; at += chunk) {
      // A little of the next chunk, for what lies across.
      size_t wanted = end - at < chunk + length - 1 ? end - at : chunk + length - 1;
      if (at < (unsigned long)buffer + chunk + length && at + wanted > (unsigned long)buffer) continue;
      ssize_t got = pread(memory, buffer, wanted, (off_t)at);
      if (got > 0) {
        look(buffer, (size_t)got, masked, count, mask, places);
        seen += (size_t)got;
      }
      explicit_bzero(buffer, chunk + length);
    }
  }
  memset(begins, 0, sizeof begins);
  fclose(maps);
  close(memory);
  munmap(buffer, chunk + length);
  return seen;
}

int process_page_is(const void *address, const char *flag) {
  FILE *maps = fopen("/proc/self/smaps", "re");
  if (maps == NULL) return 0;
  char line[512];
  bool inside = false, found = false;
  while (fgets(line, sizeof line, maps) != NULL) {
    unsigned long start, end;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) inside = start <= (unsigned long)address && (unsigned long)address < end;
    if (inside && strncmp(line, "VmFlags:", 8) == 0) found = strstr(line + 8, flag) != NULL;
  }
  fclose(maps);
  return found;
}

size_t process_lock_limit(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 ? limit.rlim_cur : 0;
}

int process_fork(void) {
  fflush(NULL);
  int child = fork();
  if (child == 0) alarm(20);
  return child;
}

void process_exit(int code) { _exit(code); }

int process_wait(int child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}
