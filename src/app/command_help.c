/* command_help.c - help, and the reference pages that are printed from the tables of the program itself. */
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/server.h"
#include "core/reason.h"
#include "policy/registry.h"

void usage(void)
{
	printf("outrigger: a resilience sidecar. It stands beside an app and keeps it standing.\n\nUsage\n");
	printf("  outrigger --listen ADDR --to URL           serve one upstream, no file needed\n");
#define X(word, use, text) printf("  outrigger %-32s %s\n", #word " " use, text);
	COMMANDS(X)
#undef X
	printf("\nOptions\n"
		"  -c, --config FILE      - is standard input        -t                 same as check\n"
		"  --set KEY=VALUE        overrides one setting      --log-level LEVEL  error, warn, info, debug\n"
		"  --admin ADDR           default " ADMIN_DEFAULT "     --no-color\n"
		"  -h, --help             -V, --version\n\n"
		"Exit codes  0 done   64 wrong usage   69 cannot listen   70 internal error   78 configuration refused\n"
		"Signals     TERM, INT drain and stop (a second one: at once)   USR1 reopen logs   QUIT stop at once\n");
}

static bool help_command(const char *word)
{
#define X(name, use, text) \
	if (strcmp(word, #name) == 0) { \
		printf("outrigger %s %s\n    %s\n", #name, use, text); \
		return true; \
	}
	COMMANDS(X)
#undef X
	return false;
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

int command_reference(const struct options *o)
{
	unsigned count;
	struct text out;
	const struct conf_block *blocks = policy_blocks(&count);
	const char *what = o->word_count ? o->words[0] : "configuration";

	if (strcmp(what, "errors") == 0) {
		print_errors();
		return EXIT_DONE;
	}
	text_init(&out, 16 * 1024 * 1024);
	if (strcmp(what, "configuration") == 0)
		conf_print_reference(blocks, count, &out);
	else if (strcmp(what, "example") == 0)
		conf_print_example(blocks, count, &out);
	else {
		fprintf(stderr, "outrigger: reference wants configuration, errors or example\n");
		text_fini(&out);
		return EXIT_USAGE;
	}
	fwrite(out.at, 1, out.len, stdout);
	text_fini(&out);
	return EXIT_DONE;
}
