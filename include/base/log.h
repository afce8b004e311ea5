/* log.h - what outrigger says about itself: one line per event, from any thread, never blocking a loop.
 *
 * log_event(LOG_WARN, "endpoint_ejected", "upstream", "orders", "endpoint", "10.0.8.3:8080", NULL)
 *
 * Lines go into a bounded ring that the control thread writes out (log_flush). A full ring drops the line and counts it.
 * Before log_start() and after log_stop() lines go straight to stderr (start-up errors, tools, tests).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/span.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

const char *log_level_name(enum log_level);
bool log_level_of(struct span name, enum log_level *);

void log_setup(enum log_level, enum log_format, int fd);           /* level may be changed at any time by log_set_level */
void log_set_level(enum log_level);
enum log_level log_get_level(void);
void log_start(void (*wake)(void *self), void *self);              /* from now on ring + wake() of the writer */
void log_stop(void);                                               /* flush and go back to direct writing */
void log_flush(void);                                              /* the writer's thread only */
uint64_t log_dropped(void);

/* Key, value pairs of C strings, ended by NULL. `event` is one snake_case word. */
void log_event(enum log_level, const char *event, ...) __attribute__((sentinel));

#endif
