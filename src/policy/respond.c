/* respond.c - an answer without an upstream: maintenance pages, redirects' landing places, probes of others. */
#include <stdlib.h>

#include "core/exchange.h"
#include "policy/registry.h"

struct respond_conf { uint64_t status; struct span content_type, body; };
static const struct conf_key respond_keys[] = {
	CONF_COUNT(struct respond_conf, "status", status, "200", "200", "599", "status of the answer"),
	CONF_TEXT(struct respond_conf, "content_type", content_type, "text/plain; charset=utf-8", "its Content-Type"),
	CONF_TEXT(struct respond_conf, "body", body, "", "its body"),
	CONF_END
};
static const struct conf_block respond_block = {
	.name = "respond", .keys = respond_keys, .size = sizeof(struct respond_conf), .levels = CONF_ROUTE, .optional = true,
	.help = "answer without an upstream",
};

struct respond { struct policy base; struct respond_conf conf; };

static struct policy *respond_open(const void *settings, const struct policy_env *env)
{
	struct respond *r = calloc(1, sizeof(*r));
	(void)env;
	if (!r)
		return NULL;
	r->base.type = &respond_policy;
	r->conf = *(const struct respond_conf *)settings;
	return &r->base;
}

static void respond_close(struct policy *p) { free(p); }

static enum answer respond_admit(struct policy *p, struct exchange *ex, void *slot)
{
	const struct respond *r = (const struct respond *)p;
	(void)slot;
	exchange_serve(ex, SERVED_BY_proxy, (int)r->conf.status, r->conf.content_type, r->conf.body);
	return TURN;
}

const struct policy_type respond_policy = {
	.name = "respond", .block = &respond_block, .open = respond_open, .close = respond_close, .admit = respond_admit,
};
