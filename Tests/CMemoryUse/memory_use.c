// SPDX-License-Identifier: MIT
#include "memory_use.h"
#include <malloc.h>

size_t memory_use(void) {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}
