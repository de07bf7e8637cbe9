// SPDX-License-Identifier: MIT
#include "clinux.h"
#include "clinux_messages.h"
#include "clinux_routes.h"
