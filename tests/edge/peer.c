/* peer.c - see peer.h. A guest frees itself when uv has closed its handle. */
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

struct guest {
	union { uv_handle_t handle; uv_stream_t stream; uv_tcp_t tcp; uv_pipe_t pipe; } at;
	struct link  link;
	struct peer *peer;
	char         in[8192];
	size_t       len;
};

static void guest_closed(uv_handle_t *h) { free(container_of(h, struct guest, at.handle)); }

static void guest_close(struct guest *g)
{
	if (uv_is_closing(&g->at.handle))
		return;
	g->peer->open--;
	link_remove(&g->link);
	uv_close(&g->at.handle, guest_closed);
}

static void room(uv_handle_t *h, size_t wanted, uv_buf_t *buf)
{
	struct guest *g = container_of(h, struct guest, at.handle);
	(void)wanted;
	*buf = uv_buf_init(g->in + g->len, (unsigned)(sizeof(g->in) - g->len));
}

/* How long the request at the front is, with its body; 0: not all there. */
static size_t request_len(const struct guest *g)
{
	const char *end = memmem(g->in, g->len, "\r\n\r\n", 4);
	uint64_t body = 0;
	if (!end)
		return 0;
	struct span head = span_between(g->in, end + 2), line;
	while (span_next(&head, '\n', &line))
		if (span_starts_nocase(line, SPAN("content-length:")))
			assert_true(span_to_u64(span_trim(span_first(span_from(line, 15), line.len - 16)), sizeof(g->in), &body));
	size_t len = (size_t)(end + 4 - g->in) + body;
	return len <= g->len ? len : 0;
}

static void said(uv_write_t *w, int status)
{
	struct guest *g = w->data;
	(void)status;
	free(w);
	if (g->peer->close_after)
		guest_close(g);
}

static void say(struct guest *g)
{
	uv_write_t *w = malloc(sizeof(*w));
	uv_buf_t out = uv_buf_init((char *)(uintptr_t)g->peer->reply, (unsigned)strlen(g->peer->reply));
	assert_non_null(w);
	w->data = g;
	assert_int_equal(uv_write(w, &g->at.stream, &out, 1, said), 0);
}

static void guest_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct guest *g = container_of(stream, struct guest, at.stream);
	struct peer *p = g->peer;
	(void)buf;

	if (n < 0 || p->slam) {
		guest_close(g);
		return;
	}
	g->len += (size_t)n;
	for (size_t len; (len = request_len(g)) > 0; ) {
		p->requests++;
		p->last_len = len;
		memcpy(p->last, g->in, len);
		memmove(g->in, g->in + len, g->len -= len);
		if (!p->reply)
			continue;
		say(g);
		if (p->close_after)
			return;
	}
}

static void knock(uv_stream_t *listening, int status)
{
	struct peer *p = listening->data;
	struct guest *g = calloc(1, sizeof(*g));
	assert_int_equal(status, 0);
	assert_non_null(g);
	g->peer = p;
	if (p->on_socket)
		uv_pipe_init(p->uv, &g->at.pipe, 0);
	else
		uv_tcp_init(p->uv, &g->at.tcp);
	list_append(&p->guests, &g->link);
	p->connections++;
	p->open++;
	if (uv_accept(listening, &g->at.stream) != 0 || uv_read_start(&g->at.stream, room, guest_input) != 0)
		guest_close(g);
}

static bool bind_tcp(struct peer *p, const char *address, unsigned port)
{
	struct sockaddr_storage at;
	int len = sizeof(at);
	bool v6 = strchr(address, ':');
	int bad = v6 ? uv_ip6_addr(address, (int)port, (struct sockaddr_in6 *)&at)
		: uv_ip4_addr(address, (int)port, (struct sockaddr_in *)&at);
	if (bad || uv_tcp_bind(&p->listening.tcp, (struct sockaddr *)&at, 0) != 0
			|| uv_tcp_getsockname(&p->listening.tcp, (struct sockaddr *)&at, &len) != 0)
		return false;
	p->port = ntohs(v6 ? ((struct sockaddr_in6 *)&at)->sin6_port : ((struct sockaddr_in *)&at)->sin_port);
	return true;
}

bool peer_open(struct peer *p, uv_loop_t *uv, const char *address, unsigned port)
{
	memset(p, 0, sizeof(*p));
	p->uv = uv;
	p->on_socket = address[0] == '/';
	p->reply = OK_REPLY("0");
	list_init(&p->guests);
	if (p->on_socket)
		uv_pipe_init(uv, &p->listening.pipe, 0);
	else
		uv_tcp_init(uv, &p->listening.tcp);
	p->listening.stream.data = p;
	bool bound = p->on_socket ? uv_pipe_bind(&p->listening.pipe, address) == 0 : bind_tcp(p, address, port);
	if (bound && uv_listen(&p->listening.stream, 16, knock) == 0)
		return true;
	peer_close(p);
	return false;
}

void peer_close(struct peer *p)
{
	list_each (l, &p->guests)
		guest_close(container_of(l, struct guest, link));
	uv_close((uv_handle_t *)&p->listening, NULL);
}
