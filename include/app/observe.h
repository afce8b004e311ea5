/* observe.h - what is written down when an exchange is over: counters of its route, and a line of the access log. */
#ifndef APP_OBSERVE_H
#define APP_OBSERVE_H

#include "core/worker.h"

struct server;
/* Sets worker->on_over. */
void observe_worker(struct server *, struct worker *);

#endif
