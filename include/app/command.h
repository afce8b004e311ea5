/* command.h - the sub-commands. Each is one function: it gets the options as parsed by main.c and returns the exit code. */
#ifndef APP_COMMAND_H
#define APP_COMMAND_H

#include <stdbool.h>

enum { SETS_MAX = 64, WORDS_MAX = 16 };

struct options {
	const char *config;                   /* -c; NULL: the default file, if --to is not given */
	const char *listen, *to;
	const char *sets[SETS_MAX]; unsigned set_count;
	const char *admin;                    /* --admin ADDR */
	const char *log_level;
	const char *route, *status, *slow;    /* tap */
	bool json, origin, ready, no_color, watch;
	const char *words[WORDS_MAX]; unsigned word_count;     /* what is left, without the command */
};

#define CONFIG_DEFAULT "/etc/outrigger/outrigger.yaml"
#define ADMIN_DEFAULT  "127.0.0.1:9901"

struct conf;
struct conf_report;
/* Loads, and prints what is wrong to stderr. NULL: errors; *code is then the exit code. */
struct conf *command_load(const struct options *, int *code);
bool command_set_up_log(const struct options *, const struct conf *);      /* false: --log-level is none; it was said */

/*   word, usage, what it does */
#define COMMANDS(X) \
	X(run,         "[-c FILE] [--watch]",      "serve (default FILE: " CONFIG_DEFAULT ")") \
	X(demo,        "[-c FILE]",                "a demo app with faults, and a proxy in front of it to play with") \
	X(check,       "[-c FILE] [--json]",       "read and verify the configuration, then stop") \
	X(explain,     "[-c FILE] METHOD URL",     "which route would take this request, with every setting and its origin") \
	X(config,      "[-c FILE] [--origin]",     "print the effective configuration (secrets hidden)") \
	X(schema,      "",                         "print the JSON Schema (draft-07) for editors") \
	X(reference,   "[configuration|errors|example]", "print docs/configuration.md, docs/errors.md or conf/outrigger.yaml") \
	X(status,      "[--json]",                 "routes and upstreams of the outrigger at --admin, at a glance") \
	X(top,         "",                         "the same again every second") \
	X(tap,         "[--route R] [--status 5xx] [--slow 1s]", "requests as they end, one line each") \
	X(healthcheck, "[--ready]",                "exit 0 when it is alive, or ready (for Docker HEALTHCHECK); 1 otherwise") \
	X(reload,      "",                         "read the configuration again, as by HUP; prints what changed, or what is wrong with it") \
	X(drain,       "",                         "it says not ready, and asks clients to leave; it goes on serving") \
	X(undrain,     "",                         "... and takes that back") \
	X(quit,        "",                         "drain and stop, as by TERM; a second time: at once") \
	X(help,        "[COMMAND | REASON | KEY]", "e.g. help circuit_open, help retry.budget")

#define X(word, usage, text) int command_##word(const struct options *);
COMMANDS(X)
#undef X
void usage(void);                         /* the whole page, to stdout */

#endif
