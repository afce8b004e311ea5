/* test_conf_files.c - the files that users copy are good, and what is printed from the tables is what stands in the project.
 *
 * OUTRIGGER_UPDATE=1 writes conf/outrigger.yaml, conf/outrigger.schema.json and docs/configuration.md anew. Run from the top.
 */
#include "conf_try.h"
#include "policy/registry.h"

#include <glob.h>

static struct tried load(const char *path)
{
	struct conf_source from = { .file = path };
	unsigned count;
	from.blocks = policy_blocks(&count);
	from.block_count = count;
	struct tried t = try_source(&from);
	if (t.report.text.len)
		print_error(SPAN_FMT, SPAN_ARG(text_span(&t.report.text)));
	assert_non_null(t.conf);
	assert_int_equal(t.report.warnings, 0);
	return t;
}

static void test_examples(void **state)
{
	(void)state;
	glob_t found;
	assert_int_equal(glob("conf/examples/*.yaml", 0, NULL, &found), 0);
	assert_true(found.gl_pathc >= 7);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct tried t = load(found.gl_pathv[i]);
		try_end(&t);
	}
	globfree(&found);
}

static void same_as_file(const char *path, const struct text *wanted)
{
	if (getenv("OUTRIGGER_UPDATE")) {
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(wanted->at, 1, wanted->len, f), wanted->len);
		assert_int_equal(fclose(f), 0);
	}
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	char *bytes = malloc(wanted->len + 1);
	assert_non_null(bytes);
	size_t n = fread(bytes, 1, wanted->len + 1, f);
	fclose(f);
	bool same = n == wanted->len && memcmp(bytes, wanted->at, n) == 0;
	free(bytes);
	if (!same)
		print_error("%s is not what the tables say: run this test with OUTRIGGER_UPDATE=1\n", path);
	assert_true(same);
}

static void test_printed(void **state)
{
	(void)state;
	static const struct { const char *path; void (*print)(const struct conf_block *, unsigned, struct text *); } files[] = {
		{ "conf/outrigger.yaml", conf_print_example },
		{ "conf/outrigger.schema.json", conf_print_schema },
		{ "docs/configuration.md", conf_print_reference },
	};
	unsigned count;
	const struct conf_block *blocks = policy_blocks(&count);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		struct text out;
		text_init(&out, 1 << 20);
		files[i].print(blocks, count, &out);
		assert_false(out.cut);
		same_as_file(files[i].path, &out);
		text_fini(&out);
	}
}

/* The complete example means exactly what one with nothing in it means. */
static void test_example_changes_nothing(void **state)
{
	(void)state;
	struct tried full = load("conf/outrigger.yaml");
	struct conf_source from = { .file = "none.yaml", .text = SPAN("listen: 0.0.0.0:8080\n"
		"upstreams: {app: {endpoints: http://127.0.0.1:3000}}\n"
		"routes: [{path: /, upstream: app}]\n"), .blocks = full.conf->blocks, .block_count = full.conf->block_count };
	struct tried none = try_source(&from);
	struct text a, b;
	text_init(&a, 1 << 20);
	text_init(&b, 1 << 20);
	conf_print(full.conf, false, &a);
	conf_print(none.conf, false, &b);
	text_char(&a, '\0');
	text_char(&b, '\0');
	assert_string_equal(a.at, b.at);
	text_fini(&a);
	text_fini(&b);
	try_end(&full);
	try_end(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples), cmocka_unit_test(test_printed), cmocka_unit_test(test_example_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
