/* trace_record.h - private to tracing: what a data thread writes down about a request for its spans, and what is made of it on the control thread. */
#ifndef SRC_APP_TRACE_RECORD_H
#define SRC_APP_TRACE_RECORD_H

#include "app/observe.h"
#include "base/json.h"

enum { TRACE_TRIES = 8 };

/* Texts end with a NUL; what is too long loses its end. Times are since the first byte of the request. */
struct trace_try {
	char     endpoint[72], span_id[16];
	unsigned number;
	int      status;
	enum reason reason;
	uint64_t at_us, us, connect_us, reply_us;             /* reply_us 0: no head came */
};
struct trace_record {
	uint64_t wall_us;                                     /* of the first byte of the request */
	char     trace_id[32], span_id[16], parent_id[16];
	bool     has_parent, http11, replied;
	struct trace_link link;
	char     request_id[128], client[48], method[16], scheme[8], host[128], path[256], agent[96];
	char     route[68], pattern[72], upstream[68];
	int      status;
	enum reason reason, would_refuse;
	enum served_by served_by;
	unsigned tries_total, try_count;
	uint64_t duration_us, first_byte_us, queue_us, pause_us, overhead_us, bytes_in, bytes_out;
	struct trace_try tries[TRACE_TRIES];
};

/* On the exchange's data thread, when it is over. */
void trace_record_fill(struct trace_record *, const struct exchange *, const struct measured *);
/* ExportTraceServiceRequest, open for records; instance may be empty. */
void otlp_open(struct json *, struct span service, struct span instance);
void otlp_put(struct json *, const struct trace_record *);
void otlp_close(struct json *);

#endif
