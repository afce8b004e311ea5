/* simple.h - a world in one call, for unit tests: one route "/", one upstream `app`. */
#ifndef RIG_SIMPLE_H
#define RIG_SIMPLE_H

#include "world.h"

struct simple {
	const char *defaults, *route, *global;        /* YAML lines, flow style, parted by '\n'; NULL: none */
	const char *endpoints;                        /* "app-1:80 app-2:80"; NULL: app-1:80                */
	const char *routes;                           /* instead of the route: a whole `routes:` list       */
	const char *service;                          /* more keys of the upstream                          */
	const struct policy_type *outside, *inside;   /* doors of the test's own: see world_plan            */
};

/* With witnesses. A configuration that is refused aborts. */
void simple_open(struct world *, const struct simple *);
/* Runs to the end and closes: what must hold is checked. The guests can still be looked at. */
void simple_finish(struct world *);
struct deed *simple_deed(struct world *);             /* adds one to the first upstream's script */

#endif
