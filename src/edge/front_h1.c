/* front_h1.c - the life of one HTTP/1 client connection: how it begins, how it ends. */
#include "edge/front_h1.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "front.h"
#include "splice.h"

enum {
	/* The window bounds it; this only catches bugs. A body that comes in chunks of one byte is six times as long on the wire. */
	OUT_MAX = 6 * (PIPE_WINDOW_MAX + 2 * CHUNK_BODY),
	AHEAD_MAX = CHUNK_BODY + CHUNK_HEAD,
	FIRST_WORD_US = 1000000,
	LEAVE_SPREAD_US = 1000000,            /* its clients come back elsewhere: not all in one moment */
};

void front_close(struct front *f, bool reset)
{
	if (f->stream.closed)
		return;
	f->dying = true;
	if (f->ex)
		exchange_client_gone(f->ex);      /* comes back through done() */
	if (f->stream.closed)
		return;
	worker_disarm(&f->stream.loop->worker, &f->timer);
	buf_fini(&f->ahead);
	link_remove(&f->on_fronts);
	f->step->front_count--;
	listener_closed_one(f->listener);
	gate_leave(f->step->gate, (struct sockaddr *)f->peer);
	if (reset)
		stream_reset(&f->stream);
	else
		stream_close(&f->stream);
}

static void free_front(struct stream *s)
{
	struct front *f = container_of(s, struct front, stream);
	splice_done(&f->pipe);
	h1_reader_fini(&f->reader);
	free(f->peer);
	free(f);
}

/* Inside a call from the core nothing may be closed: the timer does it next. */
void front_doom(struct front *f)
{
	f->dying = true;
	f->keep = false;
	front_rearm(f);
}

/* We have said our last word, and the client may still be sending: closing now would reset the connection and take our answer
 * with it. So end our side and throw away what comes, for a second or 64 KiB. */
void front_linger(struct front *f)
{
	f->reading = READ_LINGER;
	f->since_us = front_now(f);
	f->lingered = 0;
	buf_clear(&f->ahead);
	stream_end(&f->stream);
	stream_want_input(&f->stream, true);
	front_rearm(f);
}

static const struct stream_events front_events = {
	.input = front_input, .wrote = front_wrote, .gone = front_gone, .free = free_front,
};

static void name_peer(struct front *f, const struct sockaddr *peer)
{
	const void *at = NULL;
	if (peer->sa_family == AF_INET)
		at = &((const struct sockaddr_in *)(const void *)peer)->sin_addr;
	else if (peer->sa_family == AF_INET6) {
		const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
		bool mapped = IN6_IS_ADDR_V4MAPPED(v6);
		at = mapped ? (const void *)&v6->s6_addr[12] : (const void *)v6;
		if (mapped) {
			inet_ntop(AF_INET, at, f->address, sizeof(f->address));
			at = NULL;
		}
	}
	if (at)
		inet_ntop(peer->sa_family, at, f->address, sizeof(f->address));
	f->address_len = (uint8_t)strlen(f->address);
}

void front_h1_open(struct listener *listener, int fd, const struct sockaddr *peer, unsigned requests)
{
	struct doorstep *step = listener->step;
	struct front *f = calloc(1, sizeof(*f));
	if (!f || !stream_open(&f->stream, step->loop, fd, &front_events, OUT_MAX)) {
		counter_add(&listener->refused[REFUSED_memory], 1);
		counter_add(&listener->closed, 1);
		gate_leave(step->gate, peer);
		if (!f)
			close(fd);
		free(f);
		return;
	}
	f->listener = listener;
	f->step = step;
	f->accepted_us = f->since_us = front_now(f);
	f->requests = requests;
	f->trusted = trust_has(step->trust, peer);
	name_peer(f, peer);
	if (step->limits->max_connections_per_ip) {
		f->peer = malloc(sizeof(*f->peer));
		if (f->peer)
			memcpy(f->peer, peer, peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
	}
	h1_reader_init(&f->reader, true, &step->h1, &step->loop->worker.chunks);
	buf_init(&f->ahead, &step->loop->worker.chunks, AHEAD_MAX);
	link_init(&f->on_fronts);
	list_append(&step->fronts, &f->on_fronts);
	step->front_count++;
	if (step->loop->worker.draining || listener->leaving)     /* the last ones in: they get an answer, but may not stay */
		f->close_at_us = front_now(f) + FIRST_WORD_US;
	front_rearm(f);
	front_input(&f->stream);                  /* most clients have spoken already: saves a turn */
}

static bool is_at_rest(const struct front *f)
{
	bool idle = f->reading == READ_IDLE && !f->ex && !f->reader.head_begun;
	bool answered = f->reading == READ_DONE && f->ex && f->reply_over && f->keep && !f->aborted;      /* to the last byte; nobody was told yet */
	return (idle || answered) && f != f->step->in_hand && buf_empty(&f->ahead) && f->stream.out.len == 0
		&& !f->stream.closed && !f->stream.hup && !f->dying && !f->close_at_us;
}

void front_h1_at_rest(const struct doorstep *step, void (*each)(void *, const struct listener *, int), void *self)
{
	unsigned left = step->front_count;        /* whatever has happened to the list, this ends */
	for (struct link *l = step->fronts.head.next; l != &step->fronts.head && left > 0; l = l->next, left--) {
		const struct front *f = container_of(l, struct front, on_fronts);
		if (is_at_rest(f))
			each(self, f->listener, f->stream.watch.fd);
	}
}

static void go_soon(struct front *f, uint64_t spread_us)
{
	struct worker *w = &f->step->loop->worker;
	if (!f->close_at_us)
		f->close_at_us = w->now_us + 2 + rand_below(&w->rand, spread_us + 1);
	front_rearm(f);
}

void front_h1_drain(struct doorstep *step, uint64_t spread_us)
{
	list_each(l, &step->fronts)
		go_soon(container_of(l, struct front, on_fronts), spread_us);
}

void front_h1_leave(const struct listener *from)
{
	list_each(l, &from->step->fronts) {
		struct front *f = container_of(l, struct front, on_fronts);
		if (f->listener == from)
			go_soon(f, LEAVE_SPREAD_US);
	}
}

void front_h1_hurry(struct doorstep *step, bool hurry)
{
	step->hurry_since_us = hurry ? step->loop->worker.now_us : 0;
	if (!hurry)
		return;                           /* a timer that fires too early looks again */
	list_each(l, &step->fronts)
		front_rearm(container_of(l, struct front, on_fronts));
}

void front_h1_close_all(struct doorstep *step)
{
	list_each(l, &step->fronts)
		front_close(container_of(l, struct front, on_fronts), true);
}

void front_h1_reset(struct exchange *ex)
{
	must(ex->client_ops == &front_ops);
	front_close(ex->client, true);
}

void front_h1_falter(struct exchange *ex)
{
	struct front *f = ex->client;
	must(ex->client_ops == &front_ops && !ex->committed);
	if (!stream_send(&f->stream, slice_of(SPAN("HTTP/1.1 "))))
		front_doom(f);
}
