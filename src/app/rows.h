/* rows.h - the last requests, for people: those that outrigger answered itself, and all while somebody watches.
 *
 * One ring per data thread, made when the first row is noted. Its lock is held for one copy; nobody waits for it but a page that reads.
 */
#ifndef SRC_APP_ROWS_H
#define SRC_APP_ROWS_H

#include "app/observe.h"
#include "base/json.h"

enum { ROWS_PER_THREAD = 256, ROW_TRIED = 4 };

struct row {
	uint64_t wall_ms;
	char     request_id[48], client[48], method[12], host[72], path[200], route[68], upstream[68], endpoint[72];
	int      status;
	enum reason reason, would_refuse;
	enum served_by served_by;
	unsigned attempts, tried_count;
	uint64_t duration_us, queue_us, pause_us, connect_us, first_byte_us, overhead_us, bytes_in, bytes_out;
	struct { char endpoint[72]; enum reason reason; int status; uint64_t us; } tried[ROW_TRIED];
};

struct rows;
struct rows *rows_new(unsigned threads);
void rows_free(struct rows *);
/* Data thread. */
bool rows_wanted(const struct rows *, const struct exchange *);
void rows_note(struct rows *, unsigned thread, const struct exchange *, const struct measured *);
/* Control thread. Somebody watches, or no longer: while anybody does all requests are noted. */
void rows_watch(struct rows *, bool watch);
/* The next row of a thread at or behind *cursor, which moves; false: there is none yet. Rows that were overwritten meanwhile are
 * skipped and added to *missed. */
uint64_t rows_now(struct rows *, unsigned thread);        /* a cursor at what comes from now on */
bool rows_next(struct rows *, unsigned thread, uint64_t *cursor, uint64_t *missed, struct row *);
void row_json(const struct row *, struct json *);                  /* one object */
void row_text(const struct row *, struct text *);                  /* one line  */

#endif
