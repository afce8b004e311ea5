/* fallback.c - a substitute for errors: when the answer would be a 5xx, ours or the upstream's, the route's own is sent instead. */
#include <stdlib.h>

#include "core/exchange.h"
#include "policy/registry.h"

struct fallback_conf { uint64_t status; struct span content_type, body; };
static const struct conf_key fallback_keys[] = {
	CONF_COUNT(struct fallback_conf, "status", status, "200", "200", "599", "status of the substitute"),
	CONF_TEXT(struct fallback_conf, "content_type", content_type, "text/plain; charset=utf-8", "its Content-Type"),
	CONF_TEXT(struct fallback_conf, "body", body, "", "its body"),
	CONF_END
};
static const struct conf_block fallback_block = {
	.name = "fallback", .keys = fallback_keys, .size = sizeof(struct fallback_conf), .levels = CONF_EVERYWHERE, .optional = true,
	.help = "sent instead of any 5xx, ours or the upstream's",
};

struct fallback { struct policy base; struct fallback_conf conf; };

static struct policy *fallback_open(const void *settings, const struct policy_env *env)
{
	struct fallback *f = calloc(1, sizeof(*f));
	(void)env;
	if (!f)
		return NULL;
	f->base.type = &fallback_policy;
	f->conf = *(const struct fallback_conf *)settings;
	return &f->base;
}

static void fallback_close(struct policy *p) { free(p); }

static enum answer fallback_judge(struct policy *p, struct exchange *ex, void *slot)
{
	const struct fallback *f = (const struct fallback *)p;
	(void)slot;
	if (ex->reply.status == 0 || ex->reply.status >= 500) {
		counter_add(&ex->route->stats->fallbacks, 1);
		exchange_serve(ex, SERVED_BY_fallback, (int)f->conf.status, f->conf.content_type, f->conf.body);
	}
	return PASS;
}

const struct policy_type fallback_policy = {
	.name = "fallback", .block = &fallback_block, .open = fallback_open, .close = fallback_close, .judge = fallback_judge,
};
