/* log.h - what outrigger says about itself: one line per event, from any thread, never blocking a loop.
 *
 * log_event(LOG_WARN, "endpoint_ejected", "upstream", "orders", "endpoint", "10.0.8.3:8080", NULL)
 *
 * With values that are not C strings, the same line piece by piece:
 *
 *   struct log_line l;
 *   log_begin(&l, LOG_WARN, "drain_timeout");
 *   log_u64(&l, "requests_cut", left);
 *   log_end(&l);
 *
 * Lines go into a bounded ring that the control thread writes out (log_flush). A full ring drops the line and counts it.
 * Before log_start() and after log_stop() lines go straight to stderr (start-up errors, tools, tests).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/text.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

const char *log_level_name(enum log_level);
bool log_level_of(struct span name, enum log_level *);

void log_setup(enum log_level, enum log_format, int fd);           /* level may be changed at any time by log_set_level */
void log_set_level(enum log_level);
enum log_level log_get_level(void);
void log_start(void (*wake)(void *self), void *self);              /* from now on ring + wake() of the writer */
void log_after_fork(void);                                         /* in a child that is to log by itself: lines that wait are the parent's */
void log_stop(void);                                               /* flush and go back to direct writing */
void log_flush(void);                                              /* the writer's thread only */
uint64_t log_dropped(void);

/* Key, value pairs of C strings, ended by NULL. `event` is one snake_case word. */
void log_event(enum log_level, const char *event, ...) __attribute__((sentinel));

/* On the caller's stack, between log_begin and log_end. At a level that is not logged all of them do nothing. */
enum { LOG_LINE_BYTES = 4096 };
struct log_line { bool on, json; struct text text; char memory[LOG_LINE_BYTES]; };
void log_begin(struct log_line *, enum log_level, const char *event);
void log_text(struct log_line *, const char *key, const char *value);
void log_span(struct log_line *, const char *key, struct span value);
void log_u64(struct log_line *, const char *key, uint64_t value);                       /* JSON: a number */
void log_f(struct log_line *, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));
void log_end(struct log_line *);

#endif
