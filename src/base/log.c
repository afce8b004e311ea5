/* log.c - one line per event, through a ring that the control thread empties.
 *
 * A process has one log, so this file has the one set of globals in base. Everything but the level is behind the mutex,
 * which is held for a copy of at most LOG_LINE_BYTES and one wake, never for a write. Lines are formatted before, on the
 * stack of who logs. The ring's bytes [head, head + len) belong to the writer: others only append behind them.
 * Values come from peers: what could end a line, forge a field or move a terminal's cursor is escaped.
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"

enum {
	RING_BYTES      = 256 * 1024,
	VALUE_MAX_BYTES = 1024,               /* before escaping */
	WRITE_BYTES     = 4096,               /* a pipe that polls writable takes this much without blocking (PIPE_BUF) */
};

static struct {
	pthread_mutex_t lock;
	int             level;                /* atomic */
	enum log_format format;               /* format and fd: set up before there are threads */
	int             fd;
	bool            started, woken;       /* woken: the writer was woken and has not looked yet */
	void          (*wake)(void *self);    /* called under the lock, so that none comes after log_stop */
	void           *self;
	size_t          head, len;
	uint64_t        dropped;              /* atomic */
	char            ring[RING_BYTES];
} logs = { .lock = PTHREAD_MUTEX_INITIALIZER, .level = LOG_INFO, .fd = STDERR_FILENO };

static const char *const level_names[] = {
	[LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

bool log_level_of(struct span name, enum log_level *level)
{
	for (enum log_level i = LOG_ERROR; i <= LOG_DEBUG; i++) {
		if (span_eq(name, span_of(level_names[i]))) {
			*level = i;
			return true;
		}
	}
	return false;
}

void log_setup(enum log_level level, enum log_format format, int fd)
{
	log_set_level(level);
	pthread_mutex_lock(&logs.lock);
	logs.format = format;
	logs.fd = fd;
	pthread_mutex_unlock(&logs.lock);
}

void log_set_level(enum log_level level) { __atomic_store_n(&logs.level, (int)level, __ATOMIC_RELAXED); }
enum log_level log_get_level(void) { return (enum log_level)__atomic_load_n(&logs.level, __ATOMIC_RELAXED); }
uint64_t log_dropped(void) { return __atomic_load_n(&logs.dropped, __ATOMIC_RELAXED); }

void log_start(void (*wake)(void *self), void *self)
{
	pthread_mutex_lock(&logs.lock);
	logs.wake = wake;
	logs.self = self;
	logs.woken = false;
	logs.started = true;
	pthread_mutex_unlock(&logs.lock);
}

void log_after_fork(void)
{
	logs.started = logs.woken = false;
	logs.wake = NULL;
	logs.head = logs.len = 0;
}

void log_stop(void)
{
	pthread_mutex_lock(&logs.lock);
	logs.started = false;
	logs.wake = NULL;
	pthread_mutex_unlock(&logs.lock);
	log_flush();
}

/* Writes what the descriptor takes without blocking, and leaves the rest: the next line wakes the writer again.
 * The poll (which does not wait) is for descriptors that we must not set non-blocking because others share them. */
static size_t write_some(int fd, const char *at, size_t len)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };

	if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
		return 0;
	ssize_t n = write(fd, at, len < WRITE_BYTES ? len : WRITE_BYTES);
	return n > 0 ? (size_t)n : 0;
}

void log_flush(void)
{
	pthread_mutex_lock(&logs.lock);
	logs.woken = false;
	while (logs.len) {
		size_t head = logs.head, run = RING_BYTES - head < logs.len ? RING_BYTES - head : logs.len;
		int fd = logs.fd;
		pthread_mutex_unlock(&logs.lock);
		size_t n = write_some(fd, logs.ring + head, run);
		pthread_mutex_lock(&logs.lock);
		logs.head = (head + n) % RING_BYTES;
		logs.len -= n;
		if (!n)
			break;
	}
	pthread_mutex_unlock(&logs.lock);
}

static void ring_add(struct span line)
{
	if (line.len > RING_BYTES - logs.len) {
		__atomic_store_n(&logs.dropped, logs.dropped + 1, __ATOMIC_RELAXED);
	} else {
		size_t at = (logs.head + logs.len) % RING_BYTES;
		struct span front = span_first(line, RING_BYTES - at);
		memcpy(logs.ring + at, front.at, front.len);
		memcpy(logs.ring, span_end(front), line.len - front.len);
		logs.len += line.len;
	}
	if (!logs.woken && logs.wake) {
		logs.woken = true;
		logs.wake(logs.self);
	}
}

static void write_directly(struct span line)
{
	while (line.len) {
		ssize_t n = write(STDERR_FILENO, line.at, line.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		line = span_from(line, (size_t)n);
	}
}

static void emit(struct span line)
{
	pthread_mutex_lock(&logs.lock);
	bool started = logs.started;
	if (started)
		ring_add(line);
	pthread_mutex_unlock(&logs.lock);
	if (!started)
		write_directly(line);
}

/* ── the line: written into less than its memory, so that what ends a value and the line always fits ── */

enum { END_BYTES = 2 };                       /* }\n */

static bool is_plain(struct span value)
{
	for (size_t i = 0; i < value.len; i++)
		if (value.at[i] <= ' ' || value.at[i] > '~' || value.at[i] == '"' || value.at[i] == '\\' || value.at[i] == '=')
			return false;
	return value.len > 0;
}

/* Into memory that was held back: text_char would refuse, the line being full. */
static void end_char(struct text *line, char c)
{
	line->at[line->len++] = c;
}

/* One pair. When not even the beginning of its value fits it is left out; a value that does not fit is cut. */
static void add_pair(struct text *line, bool json, const char *key, struct span value)
{
	char memory[VALUE_MAX_BYTES];
	struct text bounded;
	size_t before = line->len;

	text_over(&bounded, memory, sizeof(memory));
	text_add(&bounded, value);
	value = text_span(&bounded);
	bool quote = json || !is_plain(value);
	text_add(line, json ? SPAN(",\"") : SPAN(" "));
	text_add(line, span_of(key));
	text_add(line, json ? SPAN("\":\"") : quote ? SPAN("=\"") : SPAN("="));
	if (line->cut || line->len == line->size) {
		line->cut = true;
		line->len = before;
		return;
	}
	line->size--;                             /* held back for the closing quote */
	json_escape(line, value);
	line->size++;
	if (quote)
		end_char(line, '"');
}

/* A number fits whole or is left out. */
static void add_number(struct text *line, bool json, const char *key, uint64_t value)
{
	size_t before = line->len;

	text_add(line, json ? SPAN(",\"") : SPAN(" "));
	text_add(line, span_of(key));
	text_add(line, json ? SPAN("\":") : SPAN("="));
	text_u64(line, value);
	if (line->cut)
		line->len = before;
}

static void add_head(struct text *line, bool json, enum log_level level, const char *event)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	int ms = (int)(now.tv_nsec / 1000000);
	if (json)
		text_f(line, "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\",\"level\":\"%s\",\"event\":\"%s\"",
		       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ms, level_names[level], event);
	else
		text_f(line, "%02d:%02d:%02d.%03d %s %s", tm.tm_hour, tm.tm_min, tm.tm_sec, ms, level_names[level], event);
}

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
	l->on = level <= log_get_level();
	if (!l->on)
		return;
	pthread_mutex_lock(&logs.lock);
	l->json = logs.format == LOG_JSON;
	pthread_mutex_unlock(&logs.lock);
	text_over(&l->text, l->memory, sizeof(l->memory) - END_BYTES);
	add_head(&l->text, l->json, level, event);
}

void log_span(struct log_line *l, const char *key, struct span value)
{
	if (l->on && !l->text.cut)
		add_pair(&l->text, l->json, key, value);
}

void log_text(struct log_line *l, const char *key, const char *value) { log_span(l, key, span_of(value)); }

void log_u64(struct log_line *l, const char *key, uint64_t value)
{
	if (l->on && !l->text.cut)
		add_number(&l->text, l->json, key, value);
}

void log_f(struct log_line *l, const char *key, const char *format, ...)
{
	char memory[VALUE_MAX_BYTES];
	va_list values;

	if (!l->on)
		return;
	va_start(values, format);
	int n = vsnprintf(memory, sizeof(memory), format, values);
	va_end(values);
	if (n >= 0)
		log_span(l, key, (struct span){ memory, (size_t)n < sizeof(memory) ? (size_t)n : sizeof(memory) - 1 });
}

void log_end(struct log_line *l)
{
	if (!l->on)
		return;
	if (l->json)
		end_char(&l->text, '}');
	end_char(&l->text, '\n');
	emit(text_span(&l->text));
}

void log_event(enum log_level level, const char *event, ...)
{
	struct log_line l;
	va_list pairs;
	const char *key, *value;

	log_begin(&l, level, event);
	va_start(pairs, event);
	while ((key = va_arg(pairs, const char *)) && (value = va_arg(pairs, const char *)))
		log_text(&l, key, value);
	va_end(pairs);
	log_end(&l);
}
