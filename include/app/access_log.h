/* access_log.h - one line per request (interface §7), never blocking a data thread.
 *
 * A data thread formats into its own bounded buffer; the control thread writes. Full, or the reader of the descriptor stopped: the line is
 * dropped and counted.
 */
#ifndef APP_ACCESS_LOG_H
#define APP_ACCESS_LOG_H

#include "conf/conf.h"
#include "core/exchange.h"
#include "edge/loop.h"

struct access_log;
/* NULL with *why set: the file cannot be opened. `control` is the loop that writes. */
struct access_log *access_log_new(const struct conf_access_log *, struct loop *control, unsigned workers, char why[128]);
void access_log_free(struct access_log *);        /* writes out what is left, for at most a second */
void access_log_write(struct access_log *, struct worker *, const struct exchange *);
void access_log_reopen(struct access_log *);      /* SIGUSR1 */
uint64_t access_log_dropped(const struct access_log *);

#endif
