#include "clinux.h"
#include "clinux_messages.h"
