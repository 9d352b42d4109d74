/*
 * other_abi.c - stands in front of the library (LD_PRELOAD) and says it is of another ABI: what a binding must find
 * out before it does anything else. Everything else of the library stays what it is.
 */
#include <stdint.h>

uint32_t oh_get_abi_version(void)
{
    return 4711;
}
