/* command.h - the sub-commands. Each is one function: it gets the options as parsed by main.c and returns the exit code. */
#ifndef APP_COMMAND_H
#define APP_COMMAND_H

#include <stdbool.h>

enum { SETS_MAX = 64, WORDS_MAX = 16 };

struct options {
	const char *config;                   /* -c; NULL: the default file, if --to is not given */
	const char *listen, *to;
	const char *set, *sets[SETS_MAX]; unsigned set_count;  /* --set: the last one, and all */
	const char *admin;                    /* --admin ADDR */
	const char *log_level;
	const char *route, *status, *slow;    /* tap */
	bool json, origin, ready, no_color, watch, test, help, version;
	const char *words[WORDS_MAX]; unsigned word_count;     /* what is left, without the command */
};

#define CONFIG_DEFAULT "/etc/outrigger/outrigger.yaml"
#define ADMIN_DEFAULT  "127.0.0.1:9901"

/* Options that take a value:   field of struct options, long, short, value, what it does */
#define VALUED_OPTIONS(X) \
	X(config,    "--config",    "-c", "FILE",      "the configuration; - is standard input (default: " CONFIG_DEFAULT ")") \
	X(listen,    "--listen",    "",   "ADDR",      "where to accept connections, instead of the file's `listen`") \
	X(to,        "--to",        "",   "URL",       "the one upstream, instead of a file") \
	X(set,       "--set",       "",   "KEY=VALUE", "overrides one setting; may be given several times") \
	X(admin,     "--admin",     "",   "ADDR",      "the admin listener of the outrigger to talk to (default: " ADMIN_DEFAULT ")") \
	X(log_level, "--log-level", "",   "LEVEL",     "error, warn, info or debug") \
	X(route,     "--route",     "",   "NAME",      "tap: only requests of this route") \
	X(status,    "--status",    "",   "STATUS",    "tap: only answers with this status; 5xx: of this class") \
	X(slow,      "--slow",      "",   "TIME",      "tap: only requests that took longer, as 1s or 250ms")
/* Options that are there or not: likewise */
#define FLAG_OPTIONS(X) \
	X(watch,     "--watch",     "",   "run: reload when the file changes") \
	X(json,      "--json",      "",   "check, config, status: print JSON") \
	X(origin,    "--origin",    "",   "config: tell where each value comes from") \
	X(ready,     "--ready",     "",   "healthcheck: ask whether it is ready, not only alive") \
	X(no_color,  "--no-color",  "",   "accepted for scripts: outrigger never prints colours") \
	X(test,      "-t",          "",   "the same as the command check") \
	X(help,      "--help",      "-h", "the same as the command help") \
	X(version,   "--version",   "-V", "print the version and those of the libraries")

#define EXIT_CODES(X) \
	X(0,  "done") X(64, "wrong usage") X(69, "cannot listen, or nobody answers at --admin") X(70, "internal error") X(78, "configuration refused")
#define SIGNALS(X) \
	X("TERM, INT", "drain and stop; a second one: at once") X("HUP", "reload") X("USR1", "reopen the access log") X("QUIT", "stop at once")

/* Pages that `outrigger reference` prints: word, what it is, who prints it */
#define REFERENCE_PAGES(X) \
	X("configuration",    "docs/configuration.md: every key",           print_configuration) \
	X("errors",           "docs/errors.md: every reason",               print_errors) \
	X("example",          "conf/outrigger.yaml: every key, as a file",  print_example) \
	X("man",              "docs/outrigger.8: the manual page",          manual_print) \
	X("completions-bash", "conf/completions/outrigger.bash",            completions_bash) \
	X("completions-zsh",  "conf/completions/_outrigger",                completions_zsh) \
	X("completions-fish", "conf/completions/outrigger.fish",            completions_fish)

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
	X(reference,   "[PAGE]",                   "print a page made of this program's own tables; help reference lists them") \
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
