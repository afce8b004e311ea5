/* command_admin.c - commands that talk to a running outrigger. Exit codes: 0 done, 1 the answer was no, 69 nobody answers there. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admin_client.h"
#include "app/command.h"
#include "app/server.h"

/* Asks, prints what is answered. */
static int tell(const struct options *o, const char *method, const char *path)
{
	struct admin_answer a;
	int code = EXIT_LISTEN;
	if (admin_ask(o->admin, method, path, &a)) {
		code = a.status / 100 == 2 ? EXIT_DONE : 1;
		fwrite(a.body.at, 1, a.body.len, code == EXIT_DONE ? stdout : stderr);
	}
	text_fini(&a.text);
	return code;
}

int command_status(const struct options *o) { return tell(o, "GET", o->json ? "/status.json" : "/"); }
int command_drain(const struct options *o) { return tell(o, "POST", "/drain"); }
int command_undrain(const struct options *o) { return tell(o, "POST", "/undrain"); }
int command_reload(const struct options *o) { return tell(o, "POST", "/reload"); }
int command_quit(const struct options *o) { return tell(o, "POST", "/quit"); }

/* Docker knows 0 and 1 only. */
int command_healthcheck(const struct options *o)
{
	return tell(o, "GET", o->ready ? "/readyz?verbose" : "/livez") == EXIT_DONE ? EXIT_DONE : 1;
}

/* The status page again and again, in place on a terminal and one after the other elsewhere. */
int command_top(const struct options *o)
{
	bool terminal = isatty(STDOUT_FILENO);
	for (;;) {
		struct admin_answer a;
		bool ok = admin_ask(o->admin, "GET", "/", &a) && a.status == 200;
		if (ok) {
			if (terminal)
				fputs("\033[H\033[2J", stdout);
			fwrite(a.body.at, 1, a.body.len, stdout);
		}
		text_fini(&a.text);
		if (!ok || fflush(stdout) != 0)
			return EXIT_LISTEN;
		nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
	}
}

/* 1s, 250ms: in milliseconds. */
static bool read_slow(const char *text, uint64_t *ms)
{
	struct span s = span_of(text);
	bool in_ms = s.len > 2 && span_eq(span_from(s, s.len - 2), SPAN("ms")), in_s = !in_ms && s.len > 1 && s.at[s.len - 1] == 's';
	uint64_t n;
	if ((!in_ms && !in_s) || !span_to_u64(span_first(s, s.len - (in_ms ? 2 : 1)), 86400000, &n))
		return false;
	*ms = in_ms ? n : n * 1000;
	return true;
}

int command_tap(const struct options *o)
{
	char path[384];
	uint64_t slow = 0;
	if (o->slow && !read_slow(o->slow, &slow)) {
		fprintf(stderr, "outrigger: --slow %s: write 1s or 250ms\n", o->slow);
		return EXIT_USAGE;
	}
	int n = snprintf(path, sizeof(path), "/requests?follow&route=%s&status=%s&slow=%llu", o->route ? o->route : "", o->status ? o->status : "",
			(unsigned long long)slow);
	if (n < 0 || (size_t)n >= sizeof(path) || strpbrk(path, " \r\n")) {
		fprintf(stderr, "outrigger: no route has such a name\n");
		return EXIT_USAGE;
	}
	int status = admin_follow(o->admin, path, stdout);
	return status == 200 ? EXIT_DONE : status ? 1 : EXIT_LISTEN;
}
