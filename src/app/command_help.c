/* command_help.c - help, and the reference pages that are printed from the tables of the program itself. */
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/server.h"
#include "core/reason.h"
#include "manual.h"
#include "policy/registry.h"

static void print_option(const char *name, const char *brief, const char *value, const char *text)
{
	char whole[64];
	snprintf(whole, sizeof(whole), "%s%s%s%s%s", brief, *brief ? ", " : "", name, *value ? " " : "", value);
	printf("  %-22s%s\n", whole, text);
}

void usage(void)
{
	printf("outrigger: a resilience sidecar. It stands beside an app and keeps it standing.\n\nUsage\n");
	printf("  outrigger --listen ADDR --to URL           serve one upstream, no file needed\n");
#define X(word, use, text) printf("  outrigger %-32s %s\n", #word " " use, text);
	COMMANDS(X)
#undef X
	printf("\nOptions\n");
#define X(field, name, brief, value, text) print_option(name, brief, value, text);
	VALUED_OPTIONS(X)
#undef X
#define X(field, name, brief, text) print_option(name, brief, "", text);
	FLAG_OPTIONS(X)
#undef X
	printf("\nExit codes\n");
#define X(code, text) printf("  %-2d  %s\n", code, text);
	EXIT_CODES(X)
#undef X
	printf("\nSignals\n");
#define X(names, text) printf("  %-10s  %s\n", names, text);
	SIGNALS(X)
#undef X
}

static void list_pages(void)
{
#define X(word, text, print) printf("    %-18s%s\n", word, text);
	REFERENCE_PAGES(X)
#undef X
}

static bool help_command(const char *word)
{
	bool found = false;
#define X(name, use, text) \
	if (strcmp(word, #name) == 0) { \
		printf("outrigger %s %s\n    %s\n", #name, use, text); \
		found = true; \
	}
	COMMANDS(X)
#undef X
	if (strcmp(word, "reference") == 0)
		list_pages();
	return found;
}

static bool help_reason(const char *word)
{
	enum reason r;
	if (!reason_of(span_of(word), &r))
		return false;
	const struct reason_facts *f = reason_facts(r);
	printf("%s (%d %s)\n    %s\n    Proxy-Status error: %s\n", f->word, f->status, f->title, f->text, f->token);
	return true;
}

static bool help_key(const char *word)
{
	unsigned count;
	struct text out;
	const struct conf_block *blocks = policy_blocks(&count);
	text_init(&out, 1024 * 1024);
	bool found = conf_print_key(blocks, count, span_of(word), &out);
	if (found)
		fwrite(out.at, 1, out.len, stdout);
	text_fini(&out);
	return found;
}

int command_help(const struct options *o)
{
	if (o->word_count == 0) {
		usage();
		return EXIT_DONE;
	}
	if (help_command(o->words[0]) || help_reason(o->words[0]) || help_key(o->words[0]))
		return EXIT_DONE;
	fprintf(stderr, "outrigger: no command, reason or key '%s'\n", o->words[0]);
	return EXIT_USAGE;
}

static void print_errors(void)
{
	printf("# Errors: why outrigger answered\n\n"
		"One word says why outrigger answered a request itself, or changed the answer. The same word stands in the access log\n"
		"(`reason`), in the metric `outrigger_proxy_responses_total{reason}`, in the error body and in the `Proxy-Status` field.\n"
		"`outrigger help WORD` prints one entry.\n"
		"This page is printed from the program's own table (`outrigger reference errors`).\n\n"
		"| reason | status | what it means | Proxy-Status error |\n|---|---|---|---|\n");
	for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++) {
		const struct reason_facts *f = reason_facts((enum reason)r);
		printf("| `%s` | %d | **%s.** %s | `%s` |\n", f->word, f->status, f->title, f->text, f->token);
	}
}

static void print_tables(void (*print)(const struct conf_block *, unsigned, struct text *))
{
	unsigned count;
	struct text out;
	const struct conf_block *blocks = policy_blocks(&count);
	text_init(&out, 16 * 1024 * 1024);
	print(blocks, count, &out);
	fwrite(out.at, 1, out.len, stdout);
	text_fini(&out);
}
static void print_configuration(void) { print_tables(conf_print_reference); }
static void print_example(void) { print_tables(conf_print_example); }

int command_reference(const struct options *o)
{
	static const struct { const char *word; void (*print)(void); } pages[] = {
#define X(word, text, print) { word, print },
		REFERENCE_PAGES(X)
#undef X
	};
	const char *wanted = o->word_count ? o->words[0] : pages[0].word;
	for (unsigned i = 0; i < sizeof(pages) / sizeof(*pages); i++)
		if (strcmp(wanted, pages[i].word) == 0) {
			pages[i].print();
			return fflush(stdout) == 0 ? EXIT_DONE : EXIT_INTERNAL;
		}
	fprintf(stderr, "outrigger: no page '%s'; 'outrigger help reference' lists them\n", wanted);
	return EXIT_USAGE;
}
