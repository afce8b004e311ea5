/* peer.h - a web server on loopback that answers every request with the same bytes. */
#ifndef TEST_PEER_H
#define TEST_PEER_H

#include <uv.h>

#include "base/list.h"
#include "base/span.h"

struct peer {
	union { uv_stream_t stream; uv_tcp_t tcp; uv_pipe_t pipe; } listening;
	uv_loop_t  *uv;
	bool        on_socket;
	unsigned    port;
	struct list guests;
	const char *reply;                    /* NULL: never answers */
	bool        slam;                     /* closes at the first byte instead */
	bool        close_after;              /* closes behind the reply */
	unsigned    connections, requests, open;
	char        last[8192]; size_t last_len;      /* the request that came last, with its body */
};

#define OK_REPLY(text) "HTTP/1.1 200 OK\r\ncontent-length: " text "\r\n\r\n"

/* address: "127.0.0.1", "::1", or the path of a unix socket. port 0: any. false: cannot listen there. */
bool peer_open(struct peer *, uv_loop_t *, const char *address, unsigned port);
void peer_close(struct peer *);           /* and all connections */

#endif
