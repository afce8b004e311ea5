/* resources.h - private to app/: what the process has taken of what it may have. */
#ifndef SRC_APP_RESOURCES_H
#define SRC_APP_RESOURCES_H

#include <stdint.h>

/* /proc/self/statm; 0: unknown. */
void resources_memory(uint64_t *virtual_bytes, uint64_t *resident_bytes);
/* What the cgroup of this process, or one above it, lets it have: v2 memory.max, v1 memory.limit_in_bytes. 0: as much as there is. `root`: "", or
 * where a test has put its own proc/ and sys/. */
uint64_t resources_memory_limit(const char *root);
/* Open descriptors. Where the kernel does not tell (before 6.2) they are counted, one by one. */
unsigned resources_descriptors(void);
uint64_t resources_descriptor_limit(void);     /* RLIMIT_NOFILE; 0: unknown */
void resources_raise_descriptor_limit(void);   /* as far as may be */

#endif
