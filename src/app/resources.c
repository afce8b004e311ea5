/* resources.c - see resources.h. */
#include "resources.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/span.h"
#include "base/text.h"

enum { PATH_BYTES = 1400, FILE_BYTES = 4096 };

/* The beginning of a file; empty: it is not there. */
static struct span read_file(const char *path, char memory[FILE_BYTES])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, memory, FILE_BYTES) : -1;
	if (fd >= 0)
		close(fd);
	return (struct span){ memory, n > 0 ? (size_t)n : 0 };
}

/* "size resident shared ...", in pages. */
void resources_memory(uint64_t *virtual_bytes, uint64_t *resident_bytes)
{
	char memory[FILE_BYTES];
	uint64_t size = 0, resident = 0, page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct span rest = read_file("/proc/self/statm", memory), word;
	if (span_next(&rest, ' ', &word) && span_to_u64(word, UINT64_MAX / page, &size) && span_next(&rest, ' ', &word))
		(void)span_to_u64(word, UINT64_MAX / page, &resident);
	*virtual_bytes = size * page;
	*resident_bytes = resident * page;
}

/* ── the cgroup ── */

/* 0: there is none. v2 says "max"; v1 says a number beyond all memory. */
static uint64_t limit_in(const char *path)
{
	char memory[FILE_BYTES];
	uint64_t bytes;
	struct span rest = read_file(path, memory), line;
	return span_next(&rest, '\n', &line) && span_to_u64(line, (uint64_t)1 << 60, &bytes) ? bytes : 0;
}

/* The smallest of this group's limit and of those above it. A path that is not there (a container sees the host's name for its own group, but its
 * own group is what is mounted) is passed on the way up to one that is. */
static uint64_t limit_of_group(const char *root, const char *mount, struct span group, const char *file)
{
	char path[PATH_BYTES];
	uint64_t least = 0;
	for (;;) {
		while (group.len && group.at[group.len - 1] == '/')
			group.len--;
		if (snprintf(path, sizeof(path), "%s%s" SPAN_FMT "/%s", root, mount, SPAN_ARG(group), file) < (int)sizeof(path)) {
			uint64_t limit = limit_in(path);
			if (limit && (!least || limit < least))
				least = limit;
		}
		if (!group.len)
			return least;
		while (group.len && group.at[group.len - 1] != '/')
			group.len--;
	}
}

/* Lines of /proc/self/cgroup: "0::/group" is of v2, "5:memory:/group" of v1. */
uint64_t resources_memory_limit(const char *root)
{
	char path[PATH_BYTES], memory[FILE_BYTES];
	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	struct span rest = read_file(path, memory), line, number, controllers;
	uint64_t least = 0;
	while (span_next(&rest, '\n', &line)) {
		uint64_t limit = 0;
		if (!span_next(&line, ':', &number) || !span_next(&line, ':', &controllers))
			continue;
		if (span_eq(number, SPAN("0")) && !controllers.len)
			limit = limit_of_group(root, "/sys/fs/cgroup", line, "memory.max");
		else if (span_lists(controllers, SPAN("memory")))
			limit = limit_of_group(root, "/sys/fs/cgroup/memory", line, "memory.limit_in_bytes");
		if (limit && (!least || limit < least))
			least = limit;
	}
	return least;
}

/* ── descriptors ── */

unsigned resources_descriptors(void)
{
	struct stat s;
	if (stat("/proc/self/fd", &s) == 0 && s.st_size > 0)
		return (unsigned)s.st_size;
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fd");
	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n > 3 ? n - 3 : 0;                 /* ".", "..", and the one we read with */
}

uint64_t resources_descriptor_limit(void)
{
	struct rlimit limit;
	return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur : 0;
}

void resources_raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}
