/* test_resources.c - where the limit of memory is found: in files that a test lays out as the kernel would, v1 and v2, hosts and containers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../src/app/resources.h"

enum { MIB = 1024 * 1024 };
static char root[64];

static int fresh(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/outrigger-resources-XXXXXX");
	return mkdtemp(root) ? 0 : 1;
}

static int gone(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof(command), "rm -r '%s'", root);
	return system(command);
}

/* With all the folders above it. */
static void put(const char *path, const char *content)
{
	char at[512];
	int n = snprintf(at, sizeof(at), "%s%s", root, path);
	for (int i = (int)strlen(root) + 1; i < n; i++)
		if (at[i] == '/') {
			at[i] = '\0';
			mkdir(at, 0700);
			at[i] = '/';
		}
	FILE *f = fopen(at, "w");
	assert_non_null(f);
	fputs(content, f);
	fclose(f);
}

static void test_none(void **state)
{
	(void)state;
	assert_int_equal(resources_memory_limit(root), 0);
	put("/proc/self/cgroup", "0::/system.slice/outrigger.service\n");
	assert_int_equal(resources_memory_limit(root), 0);
	put("/sys/fs/cgroup/system.slice/outrigger.service/memory.max", "max\n");
	assert_int_equal(resources_memory_limit(root), 0);
}

static void test_v2(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/system.slice/outrigger.service\n");
	put("/sys/fs/cgroup/system.slice/outrigger.service/memory.max", "268435456\n");
	put("/sys/fs/cgroup/system.slice/memory.max", "max\n");
	assert_int_equal(resources_memory_limit(root), 256 * MIB);
	put("/sys/fs/cgroup/system.slice/memory.max", "134217728\n");         /* a slice that has less rules */
	assert_int_equal(resources_memory_limit(root), 128 * MIB);
}

static void test_in_a_container(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/\n");
	put("/sys/fs/cgroup/memory.max", "67108864\n");
	assert_int_equal(resources_memory_limit(root), 64 * MIB);
	put("/proc/self/cgroup", "0::/../../kubepods/pod1/a1b2\n");              /* the host's name for it; what is mounted is its own */
	assert_int_equal(resources_memory_limit(root), 64 * MIB);
}

static void test_v1(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "12:cpu,cpuacct:/docker/x\n5:memory:/docker/x\n1:name=systemd:/docker/x\n0::/\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "33554432\n");
	assert_int_equal(resources_memory_limit(root), 32 * MIB);
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");        /* its word for none */
	assert_int_equal(resources_memory_limit(root), 0);
}

static void test_nonsense(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "\n::\n0:\n0::\nmemory\n5:memory\n");
	put("/sys/fs/cgroup/memory.max", "12 apples\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "");
	assert_int_equal(resources_memory_limit(root), 0);
}

static void test_what_this_process_has(void **state)
{
	uint64_t virtual_bytes, resident_bytes;
	(void)state;
	resources_memory(&virtual_bytes, &resident_bytes);
	assert_true(resident_bytes > MIB && virtual_bytes >= resident_bytes);
	unsigned before = resources_descriptors();
	assert_true(before >= 3);
	int fd = open("/dev/null", O_RDONLY);
	assert_true(resources_descriptors() == before + 1);
	close(fd);
	assert_true(resources_descriptor_limit() > before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_none, fresh, gone), cmocka_unit_test_setup_teardown(test_v2, fresh, gone),
		cmocka_unit_test_setup_teardown(test_in_a_container, fresh, gone), cmocka_unit_test_setup_teardown(test_v1, fresh, gone),
		cmocka_unit_test_setup_teardown(test_nonsense, fresh, gone), cmocka_unit_test(test_what_this_process_has),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
