/* admin.c - which page answers which path, and who may see it. */
#include "app/admin.h"

#include <stdlib.h>

#include "app/server.h"
#include "app/service.h"

struct admin { struct server *server; struct service *service; };

static void *admin_start(void *self, struct exchange *ex)
{
	const struct admin *a = self;
	struct span path = ex->request.path, type = SPAN("text/plain; charset=utf-8");
	struct field none = { 0 };

	if (span_eq(path, SPAN("/livez")) || span_eq(path, SPAN("/healthz")) || span_eq(path, SPAN("/startupz")))
		service_answer(ex, 200, type, SPAN("ok\n"), none);
	else if (span_eq(path, SPAN("/readyz")) && server_is_ready(a->server))
		service_answer(ex, 200, type, SPAN("ready\n"), none);
	else if (span_eq(path, SPAN("/readyz")))
		service_answer(ex, 503, type, SPAN("not ready\n"), none);
	else
		service_answer(ex, 404, type, SPAN("not found\n"), none);
	return NULL;
}

static void admin_body(void *call, struct slice bytes, bool end) { (void)call; (void)bytes; (void)end; }
static void admin_want(void *call, size_t n) { (void)call; (void)n; }
static void admin_cancel(void *call) { (void)call; }

static const struct upstream_ops admin_ops = { .start = admin_start, .body = admin_body, .want = admin_want, .cancel = admin_cancel };

struct admin *admin_new(struct server *server, char why[128])
{
	struct admin *a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->server = server;
	a->service = service_new(&server->control, server->conf->admin.listen, &admin_ops, a, why);
	if (a->service)
		return a;
	free(a);
	return NULL;
}

void admin_free(struct admin *a)
{
	if (!a)
		return;
	service_free(a->service);
	free(a);
}
