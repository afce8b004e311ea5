/* sockets.c - see sockets.h. */
#include "app/sockets.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/server.h"
#include "edge/listen.h"

static int complain(struct span address, const char *why)
{
	fprintf(stderr, "outrigger: cannot listen on " SPAN_FMT ": %s\n", SPAN_ARG(address), why);
	return EXIT_LISTEN;
}

static int open_one(struct sockets *s, struct span address, unsigned listener)
{
	bool on_path = span_starts(address, SPAN("unix:"));
	char why[128];
	if (s->threads > 1 && !on_path) {         /* sockets that share an address would also share it with another outrigger */
		int alone = listen_open(address, false, why);
		if (alone < 0)
			return complain(address, why);
		close(alone);
	}
	for (unsigned k = 0; k < s->threads; k++) {
		int *fd = &s->fds[listener * s->threads + k];
		*fd = on_path && k ? dup(s->fds[listener * s->threads]) : listen_open(address, s->threads > 1, why);
		if (*fd < 0)
			return complain(address, why);
	}
	return EXIT_DONE;
}

int sockets_open(struct sockets *s, const struct conf *conf)
{
	char why[128];
	*s = (struct sockets){ .listeners = conf->listener_count, .threads = (unsigned)conf->workers, .admin = -1 };
	s->fds = malloc(((size_t)s->listeners * s->threads + 1) * sizeof(*s->fds));
	if (!s->fds)
		return EXIT_INTERNAL;
	for (unsigned i = 0; i < s->listeners * s->threads; i++)
		s->fds[i] = -1;
	int code = EXIT_DONE;
	for (unsigned i = 0; i < s->listeners && code == EXIT_DONE; i++)
		code = open_one(s, conf->listeners[i].address, i);
	if (code == EXIT_DONE && !span_eq(conf->admin.listen, SPAN("off")) && (s->admin = listen_open(conf->admin.listen, false, why)) < 0)
		code = complain(conf->admin.listen, why);
	return code;
}

void sockets_listen_again(const struct sockets *s)
{
	for (unsigned i = 0; i < s->listeners * s->threads; i++)
		listen(s->fds[i], LISTEN_BACKLOG);
	if (s->admin >= 0)
		listen(s->admin, LISTEN_BACKLOG);
}

static void unlink_path(struct span address)
{
	char path[128];
	if (!span_starts(address, SPAN("unix:")))
		return;
	snprintf(path, sizeof(path), SPAN_FMT, SPAN_ARG(span_from(address, 5)));
	unlink(path);
}

void sockets_unlink(const struct sockets *s, const struct conf *conf)
{
	for (unsigned i = 0; i < s->listeners; i++)
		if (s->fds[i * s->threads] >= 0)
			unlink_path(conf->listeners[i].address);
	if (s->admin >= 0)
		unlink_path(conf->admin.listen);
}

void sockets_forget(struct sockets *s)
{
	free(s->fds);
	*s = (struct sockets){ .admin = -1 };
}

void sockets_close(struct sockets *s, const struct conf *conf)
{
	sockets_unlink(s, conf);
	for (unsigned i = 0; i < s->listeners * s->threads; i++)
		if (s->fds[i] >= 0)
			close(s->fds[i]);
	if (s->admin >= 0)
		close(s->admin);
	sockets_forget(s);
}
