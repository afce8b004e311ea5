/* stage.h - a real loop, run until something is true; upstreams without a configuration file. One at a time. */
#ifndef TEST_STAGE_H
#define TEST_STAGE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/target.h"
#include "edge/loop.h"

struct stage {
	struct loop loop;
	uv_timer_t  tick;
	bool      (*yes)(void *self);
	void       *self;
	uint64_t    until_us;
};

struct stage *stage_open(void);
void stage_close(struct stage *);         /* fails when a handle was left open */
/* Turns the loop until `yes`, at most so long. Returns whether it came true. */
bool stage_until(struct stage *, bool (*yes)(void *self), void *self, unsigned at_most_ms);
void stage_wait(struct stage *, unsigned ms);

/* `conf` is copied, with its endpoints and its name ("u" when it has none). */
struct upstream *upstream_like(const struct conf_upstream *conf);
void upstream_gone(struct upstream *);    /* fails when somebody still holds it */

#endif
