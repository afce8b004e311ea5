/* fetch.h - the control plane's HTTP client: libcurl's multi interface on the control thread's uv loop.
 *
 * For health checks, flags, OTLP, keys, webhooks; never for a client's request. http and https only, no redirects, no cookies, no
 * netrc. One thread. A fetch ends by `done`, once, from the loop and never from inside fetch_start or fetch_cancel; or by fetch_cancel.
 */
#ifndef EDGE_FETCH_H
#define EDGE_FETCH_H

#include <uv.h>

#include "core/target.h"

struct fetcher;
struct fetch;

/* Good until `done` returns. */
struct fetch_result {
	bool        ok;                       /* a whole answer came (whatever its status), or as much of it as was wanted */
	int         status;                   /* of the answer's head; 0: none came */
	const char *error;                    /* !ok: in words for people */
	struct span body;
	struct span etag;
	bool        has_max_age;              /* Cache-Control says for how long it is good (no-cache, no-store: 0) ... */
	uint64_t    max_age_s;
	uint64_t    took_us;
};

/* Everything is copied. */
struct fetch_request {
	const char *method;                   /* NULL: GET, or POST with a body */
	const char *url;
	const char *unix_socket;              /* path; NULL: none. The URL's host is then the Host field only */
	struct {                              /* the URL's host and port are at these addresses: nothing is looked up */
		const char *host; unsigned port;
		const struct address *at; unsigned count;
	} pin;
	const char *const *headers; unsigned header_count;     /* "Name: value" */
	struct span body;                     /* .at NULL: none */
	uint64_t    timeout_us;               /* of the whole fetch */
	size_t      max_body;                 /* a longer answer is an error ... */
	bool        cut_body;                 /* ... or is cut there, and good */
	bool        direct;                   /* no proxy, whatever the environment says */
	bool        fresh;                    /* a connection of its own. With a body always: libcurl repeats requests by itself when a
	                                       * kept connection turns out to be dead */
	void      (*done)(void *self, const struct fetch_result *);        /* may start and cancel others; must not free the fetcher */
	void       *self;
};

struct fetcher *fetcher_new(uv_loop_t *); /* NULL: out of memory */
void fetcher_free(struct fetcher *);      /* cancels all; memory goes when the loop has closed its handles */
const char *fetcher_curl_version(void);
struct fetch *fetch_start(struct fetcher *, const struct fetch_request *);         /* NULL: out of memory */
void fetch_cancel(struct fetch *);        /* synchronous and final; NULL is harmless */

#endif
