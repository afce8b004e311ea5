/* cpus.c - how many workers make sense: the processors this process may run on, cut down to the quota of its cgroup (v2).
 * A quota of 1.5 processors gives 2: the kernel evens it out, and one worker could not use all of it. */
#include <sched.h>
#include <stdio.h>

#include "load.h"

/* "max 100000" or "150000 100000": quota and period in microseconds. */
static uint64_t quota_of(struct span line)
{
	struct span quota, period;
	uint64_t q, p;
	if (!span_next(&line, ' ', &quota) || !span_next(&line, '\n', &period))
		return UINT64_MAX;
	if (!span_to_u64(quota, UINT32_MAX, &q) || !span_to_u64(period, UINT32_MAX, &p) || !p)
		return UINT64_MAX;
	return (q + p - 1) / p;
}

static uint64_t quota_in(const char *path)
{
	char line[64];
	FILE *f = fopen(path, "re");
	if (!f)
		return UINT64_MAX;
	size_t n = fread(line, 1, sizeof(line), f);
	fclose(f);
	return quota_of((struct span){ line, n });
}

/* The line "0::/path" of /proc/self/cgroup names our group under the v2 mount. */
static uint64_t quota_of_group(void)
{
	char text[1024], path[1200];
	FILE *f = fopen("/proc/self/cgroup", "re");
	if (!f)
		return UINT64_MAX;
	struct span rest = { text, fread(text, 1, sizeof(text), f) }, line;
	fclose(f);
	while (span_next(&rest, '\n', &line))
		if (span_starts(line, SPAN("0::/"))) {
			snprintf(path, sizeof(path), "/sys/fs/cgroup" SPAN_FMT "/cpu.max", SPAN_ARG(span_from(line, 3)));
			return quota_in(path);
		}
	return UINT64_MAX;
}

uint64_t cpus_allowed(void)
{
	cpu_set_t set;
	uint64_t n = sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint64_t)CPU_COUNT(&set) : 1;
	uint64_t quota = quota_in("/sys/fs/cgroup/cpu.max"), ours = quota_of_group();
	if (quota < n)
		n = quota;
	if (ours < n)
		n = ours;
	return n ? n : 1;
}
