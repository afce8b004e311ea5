/* back_h1.h - HTTP/1 towards upstreams (implements upstream_ops): connections and their pools, one set per worker. */
#ifndef EDGE_BACK_H1_H
#define EDGE_BACK_H1_H

#include "core/route.h"
#include "edge/loop.h"

struct backend;
/* `workers` share each endpoint's pool.max_connections. NULL: out of memory. */
struct backend *backend_new(struct loop *, unsigned workers);
void backend_free(struct backend *);              /* after all exchanges are over: closes what is idle */
struct upstream_server backend_server(struct backend *);
/* An exchange may be over while an endpoint has not taken its last bytes (of a tunnel that it has ended first): a drain waits for them. */
bool backend_still_writes(const struct backend *);

#endif
