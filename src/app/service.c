/* service.c - a listener with a router of one route, "/", whose upstream is this process. The configuration is read by the same code as
 * the user's, from the text below; there are no policies in it. */
#include "app/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/shared.h"
#include "edge/front_h1.h"

struct service {
	struct doorstep  step;
	struct listener *listener;
	struct conf     *conf;
	struct upstream *upstream;
	struct shared   *shared;
	struct gate     *gate;
	struct trust    *trust;
	struct upstream_server server;
	char             address[128];
};

static const char settings[] =
	"listen: 127.0.0.1:0\n"
	"client: {max_connections: 1000, max_request_body: 1GiB, keepalive_timeout: 30s}\n"
	"upstreams: {itself: {endpoints: ['http://127.0.0.1:1']}}\n"
	"routes: [{path: /, upstream: itself}]\n";

static struct upstream_server server_of(void *self, struct upstream *u)
{
	(void)u;
	return ((struct service *)self)->server;
}

static bool build(struct service *s, struct loop *loop)
{
	struct conf_report report;
	struct conf_source source = { .text = span_of(settings), .file = "service" };
	conf_report_init(&report);
	s->conf = conf_load(&source, &report);
	conf_report_fini(&report);
	if (!s->conf)
		return false;
	s->upstream = upstream_new(s->conf, &s->conf->upstreams[0]);
	s->shared = shared_new();
	s->gate = gate_new(s->conf->client.max_connections, 0, NULL);
	s->trust = trust_new(&s->conf->trusted_proxies);
	if (!s->upstream || !s->shared || !s->gate || !s->trust)
		return false;
	struct router_parts parts = {
		.conf = s->conf, .worker = &loop->worker, .upstreams = &s->upstream, .shared = s->shared, .origin = true,
		.server_of = server_of, .self = s,
	};
	const struct conf_client *c = &s->conf->client;
	s->step = (struct doorstep){
		.loop = loop, .router = router_new(&parts), .limits = c, .gate = s->gate, .trust = s->trust,
		.h1 = { (unsigned)c->max_header_size, (unsigned)c->max_headers, (unsigned)c->max_target_size },
	};
	list_init(&s->step.fronts);
	list_init(&s->step.leaving);
	return s->step.router != NULL;
}

struct service *service_new(struct loop *loop, struct span address, int fd, const struct upstream_ops *ops, void *self, char why[128])
{
	struct service *s = calloc(1, sizeof(*s));
	snprintf(why, 128, "out of memory");
	if (!s)
		return NULL;
	s->server = (struct upstream_server){ ops, self };
	snprintf(s->address, sizeof(s->address), SPAN_FMT, SPAN_ARG(address));
	if (build(s, loop)) {
		if (fd < 0)
			fd = listen_open(span_of(s->address), false, why);
		if (fd >= 0 && (s->listener = listener_new(fd, address))) {
			listener_start(s->listener, &s->step);
			return s;
		}
	}
	service_free(s);
	return NULL;
}

void service_free(struct service *s)
{
	if (!s)
		return;
	if (s->listener) {
		listener_stop(s->listener);
		front_h1_close_all(&s->step);
		loop_bury(s->step.loop);
		listener_free(s->listener);
	}
	if (span_starts(span_of(s->address), SPAN("unix:")))
		unlink(s->address + 5);
	router_unref(s->step.router);
	if (s->upstream)
		upstream_unref(s->upstream);
	shared_free(s->shared);
	gate_free(s->gate);
	trust_free(s->trust);
	conf_unref(s->conf);
	free(s);
}

void service_answer(struct exchange *ex, int status, struct span content_type, struct span body, struct field extra)
{
	struct reply *r = &ex->reply;
	*r = (struct reply){ .status = status, .minor = 1, .framing = BODY_LENGTH, .content_length = body.len, .has_length = true };
	bool ok = fields_init(&r->fields, &ex->arena, 8)
		&& (!content_type.len || fields_add_id(&r->fields, FIELD_CONTENT_TYPE, content_type))
		&& fields_add_id(&r->fields, FIELD_CACHE_CONTROL, SPAN("no-store"))
		&& (!extra.name.len || fields_add(&r->fields, extra.name, extra.value));
	if (!ok) {
		r->status = 0;
		exchange_upstream_failed(ex, REASON_internal_error);
		return;
	}
	exchange_upstream_head(ex);
	exchange_upstream_body(ex, reply_has_no_body(ex->request.method, status) ? slice_of(SPAN_NONE) : slice_of(body), true);
}
