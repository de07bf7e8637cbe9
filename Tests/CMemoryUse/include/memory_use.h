// SPDX-License-Identifier: MIT
#ifndef MEMORY_USE_H
#define MEMORY_USE_H
#include <stddef.h>
/* Bytes that the process holds from malloc now, mapped blocks included. */
size_t memory_use(void);
#endif
