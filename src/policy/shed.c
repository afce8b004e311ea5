/* shed.c - when there is more than can be carried, the least important is turned away, at the door and at once (behaviour §9).
 *
 * How much, is decided elsewhere and ten times a second (core/pressure.h); here a number is loaded, and when it is not 0 a die is cast. Requests
 * to the admin listener pass no doors, and a process that drains has no pressure: both are exempt without being asked for.
 */
#include <stdlib.h>

#include "core/exchange.h"
#include "policy/registry.h"

enum { RETRY_AFTER_MAX_S = 3 };

struct shed_conf { bool enabled, dry_run; };
static const struct conf_key shed_keys[] = {
	CONF_BOOL(struct shed_conf, "enabled", enabled, "true", "`shed: off` is short for enabled: false; good for the app's own health checks"),
	CONF_BOOL(struct shed_conf, "dry_run", dry_run, "false", "decide, count and log, but let everything pass"),
	CONF_END
};
static const struct conf_block shed_block = {
	.name = "shed", .keys = shed_keys, .size = sizeof(struct shed_conf), .levels = CONF_EVERYWHERE,
	.help = "beyond the limits of `overload`, sheddable requests are turned away first, critical ones last (see priority)",
};

struct shed { struct policy base; struct shed_conf conf; };

/* What needs no upstream costs no more than being turned away. */
static bool shed_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)present;
	return route->upstream && ((const struct shed_conf *)settings)->enabled;
}

static struct policy *shed_open(const void *settings, const struct policy_env *env)
{
	struct shed *d = calloc(1, sizeof(*d));
	(void)env;
	if (!d)
		return NULL;
	d->base.type = &shed_policy;
	d->conf = *(const struct shed_conf *)settings;
	return &d->base;
}

static void shed_close(struct policy *p) { free(p); }

static enum answer shed_admit(struct policy *p, struct exchange *ex, void *memory)
{
	unsigned level = exchange_pressure(ex);
	(void)memory;
	if (!level || rand_below(&ex->worker->rand, PRESSURE_CLASS) >= pressure_share(level, ex->priority))
		return PASS;
	/* not all at the same moment again */
	unsigned retry_after_s = 1 + (unsigned)rand_below(&ex->worker->rand, RETRY_AFTER_MAX_S);
	return exchange_turn_away(ex, ((const struct shed *)p)->conf.dry_run, REASON_overloaded, retry_after_s, NULL);
}

const struct policy_type shed_policy = {
	.name = "shed", .block = &shed_block, .wanted = shed_wanted, .open = shed_open, .close = shed_close, .admit = shed_admit,
};
