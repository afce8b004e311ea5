/* access_log.h - one line per request (interface §7), never blocking a data thread.
 *
 * A data thread formats into a ring of its own; the control thread takes whole lines out of all rings and writes them. A full disk, or a
 * reader that has stopped, costs lines: a full ring drops them, and counts.
 *
 * There always is one, also when it is off: a reload may switch it on. A reload prepares the next settings (and opens what they name), then
 * either discards them, or each data thread adopts them, and it is told when all have. A line goes where the settings it was written by say.
 */
#ifndef APP_ACCESS_LOG_H
#define APP_ACCESS_LOG_H

#include "app/observe.h"
#include "base/text.h"
#include "conf/conf.h"
#include "edge/loop.h"

struct access_log;
/* `control` is the loop that writes. Data threads 0 to `workers` - 1 have adopted it. NULL: `why` has "access_log: /file: Permission denied". */
struct access_log *access_log_new(struct conf *, struct loop *control, unsigned workers, struct text *why);
/* When data threads have ended. Writes out what is left, for at most a second. Memory goes when the loop has closed its handle. */
void access_log_free(struct access_log *);
void access_log_reopen(struct access_log *);      /* SIGUSR1 */
uint64_t access_log_dropped(const struct access_log *);

/* A reload, in this order. 0, or an errno: it cannot be opened, `why` as above, and nothing has changed. */
int  access_log_prepare(struct access_log *, struct conf *, struct text *why);
void access_log_discard(struct access_log *);     /* if there is one prepared */
void access_log_adopted(struct access_log *);     /* by all: what it leaves is closed when its lines are out, a second later at the latest */

/* On the data thread of `w`. */
void access_log_adopt(struct access_log *, struct worker *);
void access_log_write(struct access_log *, struct worker *, const struct exchange *, const struct measured *);

#endif
