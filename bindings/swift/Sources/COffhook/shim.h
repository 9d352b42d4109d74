/* shim.h - the C interface, found by pkg-config, and a macro that Swift cannot import. */
#ifndef COFFHOOK_SHIM_H
#define COFFHOOK_SHIM_H

#include <offhook.h>

/* OH_ZERO: zero, as an option whose 0 stands for the default. */
static const uint32_t COFFHOOK_ZERO = OH_ZERO;

#endif
