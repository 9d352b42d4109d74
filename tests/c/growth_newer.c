/*
 * growth_newer.c - growth.c as a program that was compiled against the header of a later release.
 * test: timeout=90 header=newer
 */
#include "growth.c"
