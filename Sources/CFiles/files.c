// SPDX-License-Identifier: MIT
// A C target has a source file; all of this one is in its header.
#include "cfiles.h"
