/* manual.c - see manual.h: outrigger(8). What is a table elsewhere is printed from it; the rest is here. */
#include "manual.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#include "app/command.h"
#include "app/version.h"

enum { COLUMNS = 66 };

/* Plain text to man(7): a backslash and a leading dot or quote mean something there, and a hyphen is not a minus. Long lines are broken. */
static void put(const char *text)
{
	unsigned column = 0;
	for (; *text; text++, column++) {
		if (column == 0 && (*text == '.' || *text == '\''))
			fputs("\\&", stdout);
		switch (*text) {
		case '\\': fputs("\\e", stdout); break;
		case '-':  fputs("\\-", stdout); break;
		case '`':  fputs("\\(ga", stdout); break;
		case '~':  fputs("\\(ti", stdout); break;
		case '^':  fputs("\\(ha", stdout); break;
		case ' ':
			putchar(column < COLUMNS ? ' ' : '\n');
			if (column >= COLUMNS)
				column = UINT_MAX;        /* the next one is the first */
			break;
		default:   putchar(*text);
		}
	}
}

static void heading(const char *word) { printf(".SH %s\n", word); }

/* "[-c FILE] METHOD URL": what is to be typed as it stands is bold, what stands for something else is in italics. */
static void put_use(const char *use)
{
	bool bold = false, italic = false;
	if (*use)
		putchar(' ');
	for (; *use; use++) {
		bool word = (*use >= 'a' && *use <= 'z') || *use == '-', stands_for = *use >= 'A' && *use <= 'Z';
		if (word != bold || stands_for != italic)
			fputs(word ? "\\fB" : stands_for ? "\\fI" : "\\fR", stdout);
		bold = word;
		italic = stands_for;
		char one[2] = { *use, '\0' };
		if (*use == '.')
			fputs("\\&.", stdout);
		else
			put(one);
	}
	if (bold || italic)
		fputs("\\fR", stdout);
}

static void print_synopsis(void)
{
	heading("SYNOPSIS");
	printf(".nf\n\\fBoutrigger \\-\\-listen\\fR \\fIADDR\\fR \\fB\\-\\-to\\fR \\fIURL\\fR\n");
#define X(word, use, text) \
	fputs("\\fBoutrigger " #word "\\fR", stdout); \
	put_use(use); \
	putchar('\n');
	COMMANDS(X)
#undef X
	printf(".fi\n");
}

static void print_description(void)
{
	heading("DESCRIPTION");
	put("Outrigger is an HTTP reverse proxy that stands beside an app and keeps it standing: deadlines, retries under a budget, circuit "
		"breakers, concurrency limits with a bounded line, rate limits, coalescing of equal requests, fallbacks. It is set up by one YAML "
		"file, and says in one word why it answered anything itself.\n");
	printf(".PP\n");
	put("Without a command it does what run does.\n");
}

static void print_commands(void)
{
	heading("COMMANDS");
#define X(word, use, text) \
	fputs(".TP\n\\fB" #word "\\fR", stdout); \
	put_use(use); \
	putchar('\n'); \
	put(text); \
	putchar('\n');
	COMMANDS(X)
#undef X
}

static void put_option(const char *name, const char *brief, const char *value, const char *text)
{
	fputs(".TP\n\\fB", stdout);
	if (*brief) {
		put(brief);
		fputs("\\fR, \\fB", stdout);
	}
	put(name);
	fputs("\\fR", stdout);
	if (*value)
		printf(" \\fI%s\\fR", value);
	putchar('\n');
	put(text);
	putchar('\n');
}

static void print_options(void)
{
	heading("OPTIONS");
#define X(field, name, brief, value, text) put_option(name, brief, value, text);
	VALUED_OPTIONS(X)
#undef X
#define X(field, name, brief, text) put_option(name, brief, "", text);
	FLAG_OPTIONS(X)
#undef X
}

static void print_pairs(const char *title, const char *const pairs[][2], unsigned count)
{
	heading(title);
	for (unsigned i = 0; i < count; i++) {
		fputs(".TP\n\\fB", stdout);
		put(pairs[i][0]);
		fputs("\\fR\n", stdout);
		put(pairs[i][1]);
		putchar('\n');
	}
}
#define PAIRS(title, pairs) print_pairs(title, pairs, sizeof(pairs) / sizeof(*(pairs)))

static const char *const codes[][2] = {
#define X(code, text) { #code, text },
	EXIT_CODES(X)
#undef X
	{ "1", "the answer was no: healthcheck, explain without a route, a running outrigger that refused" },
};
static const char *const signals[][2] = {
#define X(names, text) { names, text },
	SIGNALS(X)
#undef X
};
static const char *const files[][2] = {
	{ CONFIG_DEFAULT, "the configuration, unless -c says otherwise" },
	{ "/usr/share/outrigger/outrigger.yaml", "every key with its default, as an example" },
	{ "/usr/share/outrigger/outrigger.schema.json", "the JSON Schema for editors" },
	{ "/usr/share/outrigger/examples/", "configurations to start from" },
};
static const char *const environment[][2] = {
	{ "any name", "the configuration may refer to it: ${NAME}, ${NAME:-default}, ${NAME:?message}; $$ is a dollar" },
	{ "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID", "set by systemd for a service of Type=notify: it is told when outrigger is ready, reloads, "
		"stops, and that its loops turn" },
};

static void print_examples(void)
{
	static const char *const examples[][2] = {
		{ "outrigger --listen :8080 --to http://127.0.0.1:3000", "In front of one app, without a file." },
		{ "outrigger check -c outrigger.yaml", "All mistakes of a file at once, with line, column and what would be right." },
		{ "outrigger explain -c outrigger.yaml GET http://shop.example.com/search", "Which route would take this request?" },
		{ "outrigger help circuit_open", "What does this reason mean?" },
	};
	heading("EXAMPLES");
	for (unsigned i = 0; i < sizeof(examples) / sizeof(*examples); i++) {
		fputs(i ? ".PP\n" : "", stdout);
		put(examples[i][1]);
		fputs("\n.PP\n.RS 4\n.nf\n", stdout);
		put(examples[i][0]);
		fputs("\n.fi\n.RE\n", stdout);
	}
}

void manual_print(void)
{
	printf(".\\\" printed by `outrigger reference man`\n"
		".TH OUTRIGGER 8 2026-11-21 \"outrigger %s\" \"System administration\"\n", version_number());
	heading("NAME");
	printf("outrigger \\- an HTTP reverse proxy that keeps an app standing\n");
	print_synopsis();
	print_description();
	print_commands();
	print_options();
	PAIRS("EXIT STATUS", codes);
	PAIRS("SIGNALS", signals);
	PAIRS("FILES", files);
	PAIRS("ENVIRONMENT", environment);
	print_examples();
	heading("SEE ALSO");
	put("The documents that come with outrigger: README, configuration, errors, operations, kubernetes, threat-model.\n");
	printf(".PP\n.BR systemd.service (5),\n.BR curl (1)\n");
}
