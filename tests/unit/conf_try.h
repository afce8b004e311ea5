/* conf_try.h - for the tests of conf/: a set of blocks shaped like those of the policies, and one call that reads a text. */
#ifndef CONF_TRY_H
#define CONF_TRY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/list.h"
#include "conf/conf.h"

struct try_times { uint64_t timeout_us, per_try_us; };
struct try_retry {
	bool enabled; uint64_t max_retries; unsigned causes; struct conf_texts methods;
	struct { uint64_t base_us, max_us; } backoff; double budget; uint64_t buffer;
};
struct try_outlier { uint64_t consecutive_errors; struct conf_rate rate; };
struct try_fallback { uint64_t status; struct span body; };
struct try_respond { uint64_t status; };
enum { TIMES, RETRY, OUTLIER, FALLBACK, RESPOND, TRY_BLOCKS };

static const struct conf_key try_times_keys[] = {
	CONF_DURATION(struct try_times, "timeout", timeout_us, "15s", "1ms", "24h", "the whole request"),
	CONF_DURATION(struct try_times, "per_try_timeout", per_try_us, "0s", "0s", "24h", "one try"),
	CONF_NOT_YET("queue_timeout", "in the queue"),
	CONF_END
};
static inline bool try_times_check(struct conf_reading *r, void *settings)
{
	const struct try_times *t = settings;
	if (t->per_try_us <= t->timeout_us)
		return true;
	conf_complain_key(r, "per_try_timeout", "'per_try_timeout' is longer than 'timeout'");
	conf_hint(r, "make it shorter");
	return false;
}
static inline bool try_cause(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	unsigned *causes = field;
	if (!index)
		*causes = 0;
	if (!text.at)
		return true;
	if (span_eq(text, SPAN("reset")))
		*causes |= 1;
	else if (span_eq(text, SPAN("503")))
		*causes |= 2;
	else if (span_eq(text, SPAN("silent")))
		return false;
	else {
		conf_complain(r, text, "'" SPAN_FMT "' is no cause", SPAN_ARG(text));
		return false;
	}
	return true;
}
static const struct conf_key try_backoff_keys[] = {
	CONF_DURATION(struct try_retry, "base", backoff.base_us, "25ms", NULL, NULL, "the first pause"),
	CONF_DURATION(struct try_retry, "max", backoff.max_us, "250ms", NULL, NULL, "the longest pause"),
	CONF_END
};
static const struct conf_key try_retry_keys[] = {
	CONF_BOOL(struct try_retry, "enabled", enabled, "true", "off switches it off"),
	CONF_COUNT(struct try_retry, "max_retries", max_retries, "1", "0", "10", "extra tries"),
	CONF_CUSTOM(struct try_retry, "retry_on", causes, try_cause, "[reset, 503]", "what is tried again"),
	CONF_TEXTS(struct try_retry, "methods", methods, "[GET, HEAD]", "methods that may be repeated"),
	{ .name = "backoff", .type = CONF_T_BLOCK, .keys = try_backoff_keys, .present_offset = CONF_NO_PRESENCE, .help = "pauses" },
	CONF_SHARE(struct try_retry, "budget", budget, "20%", "of live requests"),
	CONF_SIZE(struct try_retry, "buffer", buffer, "64KiB", "0B", "1MiB", "larger bodies are not retried"),
	CONF_END
};
static inline bool try_retry_check(struct conf_reading *r, void *settings)
{
	const struct try_retry *t = settings;
	if (t->backoff.base_us > t->backoff.max_us)
		conf_complain(r, SPAN("backoff.base"), "'base' is longer than 'max'");
	for (unsigned i = 0; i < t->methods.count; i++)
		if (span_eq(t->methods.at[i], SPAN("POST")))
			conf_complain(r, t->methods.at[i], "POST is not repeatable");
	return true;
}
static const struct conf_key try_outlier_keys[] = {
	CONF_COUNT(struct try_outlier, "consecutive_errors", consecutive_errors, "5", NULL, NULL, "errors in a row"),
	CONF_ROW(struct try_outlier, "rate", rate, CONF_T_RATE, .preset = "10/s", .min = "1/m", .max = "100/s", .help = "how many"),
	CONF_END
};
static const struct conf_key try_fallback_keys[] = {
	CONF_ROW(struct try_fallback, "status", status, CONF_T_COUNT, .min = "200", .max = "599", .flags = CONF_REQUIRED,
		.help = "its status"),
	CONF_TEXT(struct try_fallback, "body", body, "", "its body"),
	CONF_END
};
static const struct conf_key try_respond_keys[] = {
	CONF_COUNT(struct try_respond, "status", status, "200", "200", "599", "its status"),
	CONF_END
};
static const struct conf_block try_blocks[TRY_BLOCKS] = {
	[TIMES] = { .keys = try_times_keys, .size = sizeof(struct try_times), .levels = CONF_EVERYWHERE, .check = try_times_check,
		.help = "times" },
	[RETRY] = { .name = "retry", .keys = try_retry_keys, .size = sizeof(struct try_retry), .levels = CONF_EVERYWHERE,
		.scalar_ok = true,
		.check = try_retry_check, .help = "another try" },
	[OUTLIER] = { .name = "outlier_detection", .keys = try_outlier_keys, .size = sizeof(struct try_outlier),
		.levels = CONF_DEFAULTS | CONF_UPSTREAM, .help = "rest for endpoints" },
	[FALLBACK] = { .name = "fallback", .keys = try_fallback_keys, .size = sizeof(struct try_fallback), .levels = CONF_EVERYWHERE,
		.optional = true, .help = "instead of an error" },
	[RESPOND] = { .name = "respond", .keys = try_respond_keys, .size = sizeof(struct try_respond), .levels = CONF_ROUTE,
		.optional = true, .help = "without an upstream" },
};

struct tried { struct conf *conf; struct conf_report report; };

static inline struct tried try_source(struct conf_source *from)
{
	struct tried t;
	if (!from->blocks) {
		from->blocks = try_blocks;
		from->block_count = TRY_BLOCKS;
	}
	conf_report_init(&t.report);
	t.conf = conf_load(from, &t.report);
	return t;
}

static inline struct tried try_text(const char *yaml)
{
	struct conf_source from = { .file = "t.yaml", .text = span_of(yaml) };
	return try_source(&from);
}

static inline void try_end(struct tried *t)
{
	conf_unref(t->conf);
	conf_report_fini(&t->report);
}

/* Only the lines that say what is wrong where, without the file's name: no source lines, carets and sums. */
static inline void try_messages(const struct tried *t, char *out, size_t size)
{
	struct text text;
	struct span rest = text_span(&t->report.text), line;
	text_over(&text, out, size - 1);
	while (span_next(&rest, '\n', &line)) {
		if (span_starts(line, SPAN("t.yaml:")))
			line = span_from(line, 7);
		else if (!span_starts(line, SPAN("--set:")) && !span_starts(line, SPAN("command line:")))
			continue;
		text_f(&text, SPAN_FMT "\n", SPAN_ARG(line));
	}
	out[text.len] = '\0';
}

/* Reading `yaml` says exactly `expected` (lines that end in a newline); "" is a good file. */
static inline void try_expect(const char *yaml, const char *expected)
{
	static char said[16 * 1024];
	struct tried t = try_text(yaml);
	try_messages(&t, said, sizeof(said));
	if (strcmp(said, expected) != 0)
		print_error("--- for\n%s\n", yaml);
	assert_string_equal(said, expected);
	assert_true((t.conf != NULL) == (t.report.errors == 0));
	try_end(&t);
}

static inline bool try_contains(const struct text *text, const char *what)
{
	return text->len && memmem(text->at, text->len, what, strlen(what)) != NULL;
}

static inline void assert_span(struct span s, const char *expected)
{
	if (!span_eq(s, span_of(expected)))
		print_error("'" SPAN_FMT "' is not '%s'\n", SPAN_ARG(s), expected);
	assert_true(span_eq(s, span_of(expected)));
}

#endif
