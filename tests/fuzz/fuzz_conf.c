/* fuzz_conf.c - any bytes as a configuration file, with the real blocks of the policies.
 *
 * Beyond crashes and leaks: a file is either refused with at least one error that names it, or what is printed from it is
 * read again without an error and prints the same. A file that takes long is a finding too (run with -timeout=5).
 */
#include <stdio.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "policy/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void broken_promise(const char *what, struct span text)
{
	fprintf(stderr, "%s:\n" SPAN_FMT "\n", what, SPAN_ARG(text));
	abort();
}

static struct conf *load(struct span text, struct conf_report *report)
{
	struct conf_source from = { .file = "fuzz.yaml", .text = text };
	from.blocks = policy_blocks(&from.block_count);
	conf_report_init(report);
	return conf_load(&from, report);
}

static void check_round_trip(const struct conf *conf)
{
	struct conf_report report;
	struct text first, second;
	text_init(&first, 16 << 20);
	text_init(&second, 16 << 20);
	conf_print(conf, false, &first);
	struct conf *again = load(text_span(&first), &report);
	if (!again)
		broken_promise("what was printed is refused", text_span(&report.text));
	conf_print(again, false, &second);
	if (!span_eq(text_span(&first), text_span(&second)))
		broken_promise("what was printed reads differently", text_span(&first));
	conf_unref(again);
	conf_report_fini(&report);
	text_fini(&first);
	text_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct conf_report report;
	struct conf *conf = load((struct span){ size ? (const char *)bytes : "", size }, &report);
	if ((conf == NULL) != (report.errors > 0))
		broken_promise("refused without a reason, or taken with an error", text_span(&report.text));
	if (conf) {
		struct text out;
		text_init(&out, 16 << 20);
		conf_print(conf, true, &out);
		conf_print_json(conf, &out);
		for (unsigned i = 0; i < conf->route_count; i++)
			conf_print_route(conf, &conf->routes[i], true, &out);
		text_fini(&out);
		check_round_trip(conf);
	}
	conf_unref(conf);
	conf_report_fini(&report);
	return 0;
}
