/* access_log.h - one line per request (interface §7), never blocking a data thread.
 *
 * A data thread formats into a ring of its own; the control thread takes whole lines out of all rings and writes them. A full disk, or a
 * reader that has stopped, costs lines: a full ring drops them, and counts.
 */
#ifndef APP_ACCESS_LOG_H
#define APP_ACCESS_LOG_H

#include "app/observe.h"
#include "conf/conf.h"
#include "edge/loop.h"

struct access_log;
/* NULL with *why set: the file cannot be opened. `control` is the loop that writes. */
struct access_log *access_log_new(const struct conf_access_log *, struct loop *control, unsigned workers, char why[128]);
/* Writes out what is left, for at most a second. Memory goes when the loop has closed its handle. */
void access_log_free(struct access_log *);
/* On the data thread of `w`. */
void access_log_write(struct access_log *, struct worker *, const struct exchange *, const struct measured *);
void access_log_reopen(struct access_log *);      /* SIGUSR1 */
uint64_t access_log_dropped(const struct access_log *);

#endif
