/* codel.c - see codel.h. */
#include "codel.h"

#include <math.h>

static uint64_t control_law(const struct codel *c, uint64_t at_us)
{
	return at_us + (uint64_t)((double)CODEL_INTERVAL_US / sqrt((double)c->drops));
}

static bool has_stood(struct codel *c, uint64_t now_us, uint64_t waited_us)
{
	if (waited_us < CODEL_TARGET_US) {
		c->above_since_us = 0;
		return false;
	}
	if (!c->above_since_us)
		c->above_since_us = now_us;
	return now_us - c->above_since_us >= CODEL_INTERVAL_US;
}

bool codel_drops(struct codel *c, uint64_t now_us, uint64_t waited_us)
{
	bool standing = has_stood(c, now_us, waited_us);
	if (!standing) {
		c->dropping = false;
		return false;
	}
	if (!c->dropping) {
		/* it stood not long ago: go on where the rate was, not from the beginning (RFC 8289 §5.4) */
		bool lately = c->drops > 2 && now_us - c->next_drop_us < 8 * CODEL_INTERVAL_US;
		c->dropping = true;
		c->drops = lately ? c->drops - 2 : 1;
		c->next_drop_us = control_law(c, now_us);
		return true;
	}
	if (now_us < c->next_drop_us)
		return false;
	c->drops++;
	c->next_drop_us = control_law(c, c->next_drop_us);
	return true;
}
