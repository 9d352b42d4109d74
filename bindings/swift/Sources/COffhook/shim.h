/* shim.h - the C interface, found by pkg-config; what Swift cannot import (the _INIT macros) it does not need. */
#include <offhook.h>
