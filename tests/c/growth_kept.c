/*
 * growth_kept.c - growth.c as a program that was compiled against the header of the first release.
 * test: timeout=90 header=tests/abi/headers/1
 */
#include "growth.c"
