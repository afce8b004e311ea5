/* nth.h - allocations that fail on purpose. The binary is linked with --wrap for malloc, calloc and realloc. */
#ifndef TORTURE_NTH_H
#define TORTURE_NTH_H

#include <stdint.h>

/* From now on allocations are counted, and those numbered `from` to `from + times - 1` (the first is 1) fail. */
void     nth_arm(uint64_t from, uint64_t times);
/* Nothing fails any more. Returns how many allocations there were since nth_arm. */
uint64_t nth_disarm(void);

#endif
