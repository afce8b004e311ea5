/* test_conf_nomem.c - memory runs out at each of the allocations of a loading, one after the other: it is refused with an
 * error, nothing leaks, and nobody falls over a half-read tree.
 *
 * The files that allocate are compiled in here a second time with an allocator that fails on demand (the linker then
 * leaves the library's copies out).
 */
#include <stdlib.h>

static unsigned good_for = (unsigned)-1;                /* so many allocations succeed */
static long living;

static void *count_new(void *at) { living += at != NULL; return at; }
static void *scarce_malloc(size_t n) { return good_for ? good_for--, count_new(malloc(n)) : NULL; }
static void *scarce_calloc(size_t n, size_t size) { return good_for ? good_for--, count_new(calloc(n, size)) : NULL; }
static void *scarce_realloc(void *at, size_t n)
{
	if (!good_for)
		return NULL;
	good_for--;
	living += at == NULL;
	return realloc(at, n);
}
static void scarce_free(void *at) { living -= at != NULL; free(at); }

#define malloc scarce_malloc
#define calloc scarce_calloc
#define realloc scarce_realloc
#define free scarce_free
#include "../../src/base/arena.c"
#include "../../src/base/map.c"
#include "../../src/base/text.c"
#include "../../src/conf/conf.c"
#include "../../src/conf/origins.c"
#undef malloc
#undef calloc
#undef realloc
#undef free

#include "conf_try.h"

static const char good_file[] =
	"listen: [\":1\", unix:/x]\n"
	"x-a: &a {max_retries: 2}\n"
	"defaults: {timeout: 20s, retry: {retry_on: [reset, 503], backoff: {base: 1ms}, <<: *a}}\n"
	"upstreams: {a: {endpoints: [http://a:1, {url: \"http://b:2\"}]}}\n"
	"routes:\n"
	"  - {path: /a, name: one, upstream: a, headers: {x: $$y}, methods: [GET]}\n"
	"  - {path: /a, upstream: \"http://c:3\", retry: *a}\n";
static const char bad_file[] = "listen: :1\nlisten: :2\nx: 1\ndefaults: {timeout: 10}\nroutes: [{upstream: nobody, path: \"${NO_SUCH_NAME}\"}]\n";

/* The number of allocations that a loading needs; each smaller number was tried. */
static unsigned load_with_less(const char *yaml, bool is_good)
{
	for (unsigned allowed = 0; allowed < 100000; allowed++) {
		const char *const sets[] = { "retry.budget=5%", "trusted_proxies=[10.0.0.1]" };
		struct conf_source from = { .file = "t.yaml", .text = span_of(yaml), .listen = ":5", .sets = sets, .set_count = 2,
			.blocks = try_blocks, .block_count = TRY_BLOCKS };
		struct conf_report report;
		living = 0;
		conf_report_init(&report);
		good_for = allowed;
		struct conf *conf = conf_load(&from, &report);
		bool enough = good_for > 0;
		good_for = (unsigned)-1;
		assert_true((conf == NULL) == (report.errors > 0));
		if (enough)
			assert_true((conf != NULL) == is_good);
		conf_unref(conf);
		conf_report_fini(&report);
		assert_int_equal(living, 0);
		if (enough)
			return allowed;
	}
	fail();
	return 0;
}

static void test_good(void **state)
{
	(void)state;
	assert_true(load_with_less(good_file, true) > 3);
}

static void test_bad(void **state)
{
	(void)state;
	assert_true(load_with_less(bad_file, false) > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_good), cmocka_unit_test(test_bad) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
