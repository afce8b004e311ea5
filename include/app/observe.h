/* observe.h - what is written down when an exchange is over: counters of its route, and a line of the access log. */
#ifndef APP_OBSERVE_H
#define APP_OBSERVE_H

#include "core/exchange.h"

struct server;
/* Sets worker->on_over. */
void observe_worker(struct server *, struct worker *);

/* What metrics and access log say alike about one exchange. */
struct measured {
	int      status;                      /* as counted: 499 when the client left; 0: there was none      */
	uint64_t duration_us;                 /* first byte of the request to the end of everything           */
	uint64_t first_byte_us;               /* ... to the reply's head                                      */
	/* What outrigger added until the head went out: neither the upstream's time, nor spent in a line or a pause between tries.
	 * Loops tell the time once per turn, so the time within the turns is measured apart: until the request and until the reply were written. */
	uint64_t overhead_us;
	uint64_t bytes_out;                   /* of the reply's body                                          */
	bool     replied;                     /* a head went out: the two above mean something                */
};
struct measured measure(const struct exchange *, uint64_t clock_us);

#endif
