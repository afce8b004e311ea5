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

struct socket_row *sockets_row(const struct sockets *s, struct span address)
{
	for (unsigned i = 0; i < s->count; i++)
		if (span_eq(s->rows[i].address, address))
			return &s->rows[i];
	return NULL;
}

struct socket_row *sockets_add_empty(struct sockets *s, struct span address)
{
	struct socket_row *more = realloc(s->rows, (s->count + 1) * sizeof(*more));
	if (!more)
		return NULL;
	s->rows = more;
	struct socket_row *row = &s->rows[s->count];
	char *bytes = malloc(address.len + 1);
	*row = (struct socket_row){ { bytes, address.len }, malloc(s->threads * sizeof(*row->fds)) };
	if (!bytes || !row->fds) {
		free(bytes);
		free(row->fds);
		return NULL;
	}
	memcpy(bytes, address.at, address.len);
	for (unsigned k = 0; k < s->threads; k++)
		row->fds[k] = -1;
	s->count++;
	return row;
}

static void close_row(struct socket_row *row, unsigned threads)
{
	for (unsigned k = 0; k < threads; k++)
		if (row->fds[k] >= 0)
			close(row->fds[k]);
	free(row->fds);
	free((void *)(uintptr_t)row->address.at);
}

void sockets_drop(struct sockets *s, struct socket_row *row)
{
	close_row(row, s->threads);
	*row = s->rows[--s->count];
}

static bool open_row(struct socket_row *row, unsigned threads, char why[SOCKETS_WHY])
{
	bool on_path = span_starts(row->address, SPAN("unix:"));
	if (threads > 1 && !on_path) {            /* sockets that share an address would also share it with another outrigger */
		int alone = listen_open(row->address, false, why);
		if (alone < 0)
			return false;
		close(alone);
	}
	for (unsigned k = 0; k < threads; k++) {
		row->fds[k] = on_path && k ? dup(row->fds[0]) : listen_open(row->address, threads > 1, why);
		if (row->fds[k] < 0) {
			if (on_path && k)
				snprintf(why, SOCKETS_WHY, "no descriptor is left");
			return false;
		}
	}
	return true;
}

struct socket_row *sockets_add(struct sockets *s, struct span address, char why[SOCKETS_WHY])
{
	snprintf(why, SOCKETS_WHY, "out of memory");
	struct socket_row *row = sockets_add_empty(s, address);
	if (row && !open_row(row, s->threads, why)) {
		if (row->fds[0] >= 0)
			sockets_unlink(address);
		sockets_drop(s, row);
		row = NULL;
	}
	return row;
}

int sockets_open(struct sockets *s, const struct conf *conf)
{
	char why[SOCKETS_WHY];
	*s = (struct sockets){ .threads = (unsigned)conf->workers, .admin = -1 };
	for (unsigned i = 0; i < conf->listener_count; i++)
		if (!sockets_add(s, conf->listeners[i].address, why))
			return complain(conf->listeners[i].address, why);
	if (!span_eq(conf->admin.listen, SPAN("off")) && (s->admin = listen_open(conf->admin.listen, false, why)) < 0)
		return complain(conf->admin.listen, why);
	return EXIT_DONE;
}

void sockets_listen_again(const struct sockets *s)
{
	for (unsigned i = 0; i < s->count; i++)
		for (unsigned k = 0; k < s->threads; k++)
			listen(s->rows[i].fds[k], LISTEN_BACKLOG);
	if (s->admin >= 0)
		listen(s->admin, LISTEN_BACKLOG);
}

void sockets_unlink(struct span address)
{
	char path[128];
	if (!span_starts(address, SPAN("unix:")))
		return;
	snprintf(path, sizeof(path), SPAN_FMT, SPAN_ARG(span_from(address, 5)));
	unlink(path);
}

void sockets_forget(struct sockets *s)
{
	for (unsigned i = 0; i < s->count; i++)
		close_row(&s->rows[i], s->threads);
	free(s->rows);
	*s = (struct sockets){ .threads = s->threads, .admin = -1 };
}

void sockets_close(struct sockets *s, const struct conf *conf)
{
	for (unsigned i = 0; i < s->count; i++)
		sockets_unlink(s->rows[i].address);
	if (s->admin >= 0) {
		sockets_unlink(conf->admin.listen);
		close(s->admin);
	}
	sockets_forget(s);
}
