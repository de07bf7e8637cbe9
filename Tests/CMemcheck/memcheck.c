// SPDX-License-Identifier: MIT
#include "memcheck.h"
