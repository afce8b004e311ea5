/* priority.c - how important a request is: who waits last when it is full, and who is shed first (behaviour §2, §9). */
#include <stdlib.h>

#include "core/exchange.h"
#include "policy/registry.h"

struct priority_conf { unsigned class; struct span header; };
static const char *const classes[] = { "critical", "default", "sheddable", NULL };
static const struct conf_key priority_keys[] = {
	CONF_WORD(struct priority_conf, "class", class, classes, "default",
		"critical goes first, sheddable last; `priority: critical` is short for it"),
	CONF_TEXT(struct priority_conf, "header", header, NULL, "a trusted_proxies' request tells its class in this field; others get `class`"),
	CONF_END
};
static const struct conf_block priority_block = {
	.name = "priority", .keys = priority_keys, .size = sizeof(struct priority_conf), .levels = CONF_DEFAULTS | CONF_ROUTE, .scalar_ok = true,
	.optional = true, .help = "who waits last when it is full",
};

struct priority { struct policy base; struct priority_conf conf; };

static struct policy *priority_open(const void *settings, const struct policy_env *env)
{
	struct priority *p = calloc(1, sizeof(*p));
	(void)env;
	if (!p)
		return NULL;
	p->base.type = &priority_policy;
	p->conf = *(const struct priority_conf *)settings;
	return &p->base;
}

static void priority_close(struct policy *p) { free(p); }

static enum answer priority_admit(struct policy *self, struct exchange *ex, void *memory)
{
	const struct priority *p = (const struct priority *)self;
	const struct field *f = p->conf.header.len && ex->client_trusted ? fields_find_name(&ex->request.fields, p->conf.header) : NULL;
	(void)memory;
	ex->priority = (unsigned char)p->conf.class;
	for (unsigned i = 0; f && classes[i]; i++)
		if (span_eq_nocase(f->value, span_of(classes[i])))
			ex->priority = (unsigned char)i;
	return PASS;
}

const struct policy_type priority_policy = {
	.name = "priority", .block = &priority_block, .open = priority_open, .close = priority_close, .admit = priority_admit,
};
