/* access_log.c - lines on their way from data threads to the descriptor.
 *
 *   data thread ──▶ ring (one per worker, one writer, one reader, no lock) ──▶ staged (control thread, whole lines) ──▶ descriptor
 *
 * Always true:
 *   - a ring holds whole lines; `head` is moved by the control thread only, `tail` by the data thread only.
 *   - `staged` holds whole lines too, but for the first, of which a part may be written already. So lines of several workers never mix.
 *   - nobody has to wake a writer that is awake: it goes to sleep only after it has said so and then found all rings empty.
 *   - what cannot be written now stays where it is, and new lines are dropped and counted when a ring is full.
 */
#include "app/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/access_line.h"
#include "base/log.h"
#include "base/must.h"

enum {
	RING_BYTES = 512 * 1024,              /* a power of two */
	STAGED_BYTES = 128 * 1024,
	PIPE_WRITE_BYTES = 4096,              /* a pipe that polls writable takes this much without blocking (PIPE_BUF) */
	TICK_US = 25000,                      /* lines come out at least this often */
	FAREWELL_MS = 1000,
};

struct ring {
	_Alignas(64) uint64_t head;           /* bytes taken out so far; atomic */
	_Alignas(64) uint64_t tail;           /* bytes put in so far; atomic    */
	uint64_t dropped;
	bool     half_full;                   /* the writer was told; atomic    */
	struct access_clock clock;
	char     line[ACCESS_LINE_MAX];
	char     bytes[RING_BYTES];
};

struct access_log {
	struct conf_access_log conf;
	struct loop  *control;
	struct ring **rings; unsigned ring_count;
	int           fd;
	bool          owns_fd, is_socket, complained;
	access_line  *line;                   /* for good: data threads read it */
	size_t        write_max;
	bool          awake;                  /* atomic */
	uv_async_t    bell;
	struct timer  tick;
	size_t        staged_from, staged_to; /* not yet written: [from, to) */
	char          staged[STAGED_BYTES];
};

/* ── on data threads ── */

static bool is_always_wanted(const struct conf_always *a, const struct exchange *ex, const struct measured *m)
{
	bool listed = m->status >= (int)a->status_min && m->status <= (int)a->status_max;
	return listed || (a->slower_us && m->duration_us > a->slower_us) || (a->retried && ex->attempt > 1);
}

static bool is_wanted(const struct access_log *log, struct worker *w, const struct exchange *ex, const struct measured *m)
{
	for (unsigned i = 0; m->status < 400 && i < log->conf.skip_paths.count; i++)
		if (span_eq(ex->request.path, log->conf.skip_paths.at[i]))
			return false;
	return log->conf.sample >= 1 || rand_unit(&w->rand) < log->conf.sample || is_always_wanted(&log->conf.always, ex, m);
}

static void ring_copy_in(struct ring *r, uint64_t tail, size_t len)
{
	size_t at = tail % RING_BYTES, first = len < RING_BYTES - at ? len : RING_BYTES - at;
	memcpy(r->bytes + at, r->line, first);
	memcpy(r->bytes, r->line + first, len - first);
}

void access_log_write(struct access_log *log, struct worker *w, const struct exchange *ex, const struct measured *m)
{
	struct ring *r = log->rings[w->index];
	if (!is_wanted(log, w, ex, m))
		return;
	size_t len = log->line(r->line, &r->clock, ex, m);
	uint64_t tail = __atomic_load_n(&r->tail, __ATOMIC_RELAXED), used = tail - __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
	if (!len || len > RING_BYTES - used) {
		counter_add(&r->dropped, 1);
		return;
	}
	ring_copy_in(r, tail, len);
	/* Sequentially consistent, as is the writer's "asleep, and now look again": one of the two sees the other. */
	__atomic_store_n(&r->tail, tail + len, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&log->awake, __ATOMIC_SEQ_CST) && !__atomic_exchange_n(&log->awake, true, __ATOMIC_SEQ_CST))
		uv_async_send(&log->bell);
	else if (used + len > RING_BYTES / 2 && !__atomic_exchange_n(&r->half_full, true, __ATOMIC_RELAXED))
		uv_async_send(&log->bell);
}

uint64_t access_log_dropped(const struct access_log *log)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < log->ring_count; i++)
		n += counter_get(&log->rings[i]->dropped);
	return n;
}

/* ── on the control thread ── */

static bool rings_are_empty(const struct access_log *log)
{
	for (unsigned i = 0; i < log->ring_count; i++)
		if (__atomic_load_n(&log->rings[i]->tail, __ATOMIC_SEQ_CST) != log->rings[i]->head)
			return false;
	return true;
}

/* Takes whole lines out of a ring, as many as fit. */
static bool stage_from(struct access_log *log, struct ring *r)
{
	uint64_t head = r->head, left = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) - head;
	size_t room = STAGED_BYTES - log->staged_to, n = left < room ? (size_t)left : room;
	size_t at = head % RING_BYTES, first = n < RING_BYTES - at ? n : RING_BYTES - at;
	char *to = log->staged + log->staged_to;

	memcpy(to, r->bytes + at, first);
	memcpy(to + first, r->bytes, n - first);
	const char *end = n < left ? memrchr(to, '\n', n) : to + n - 1;
	if (n == 0 || !end)
		return false;
	n = (size_t)(end + 1 - to);
	log->staged_to += n;
	__atomic_store_n(&r->half_full, false, __ATOMIC_RELAXED);
	__atomic_store_n(&r->head, head + n, __ATOMIC_RELEASE);
	return true;
}

/* false: there is nothing more. */
static bool stage(struct access_log *log)
{
	bool any = false;
	if (log->staged_from) {
		memmove(log->staged, log->staged + log->staged_from, log->staged_to - log->staged_from);
		log->staged_to -= log->staged_from;
		log->staged_from = 0;
	}
	for (unsigned i = 0; i < log->ring_count; i++)
		any |= stage_from(log, log->rings[i]);
	return any;
}

/* Standard output may be shared, so it is not ours to make non-blocking: for pipes and terminals we look before each small write. */
static ssize_t write_some(struct access_log *log)
{
	const char *at = log->staged + log->staged_from;
	size_t len = log->staged_to - log->staged_from;
	struct pollfd p = { .fd = log->fd, .events = POLLOUT };

	if (log->is_socket)
		return send(log->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (len > log->write_max) {               /* whole lines, when there is one that fits: others may write here too */
		const char *end = memrchr(at, '\n', log->write_max);
		len = end ? (size_t)(end + 1 - at) : log->write_max;
	}
	if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
		return -1;
	return write(log->fd, at, len);
}

static void complain_once(struct access_log *log, int error)
{
	if (log->complained || error == EAGAIN || error == EINTR || error == 0)
		return;
	log->complained = true;
	log_event(LOG_ERROR, "access_log_write_failed", "error", strerror(error), NULL);
}

/* Writes until all is out, or the descriptor takes no more. */
static void drain(struct access_log *log)
{
	for (;;) {
		if (log->staged_from == log->staged_to && !stage(log))
			return;
		errno = 0;
		ssize_t n = write_some(log);
		if (n <= 0) {
			complain_once(log, errno);
			return;
		}
		log->complained = false;
		log->staged_from += (size_t)n;
	}
}

static bool all_is_out(const struct access_log *log) { return log->staged_from == log->staged_to && rings_are_empty(log); }

static void ticked(struct timer *t)
{
	struct access_log *log = container_of(t, struct access_log, tick);
	drain(log);
	__atomic_store_n(&log->awake, false, __ATOMIC_SEQ_CST);
	if (all_is_out(log))
		return;
	__atomic_store_n(&log->awake, true, __ATOMIC_SEQ_CST);
	worker_arm(&log->control->worker, &log->tick, TICK_US, ticked);
}

static void bell_rang(uv_async_t *bell)
{
	struct access_log *log = bell->data;
	drain(log);
	if (!timer_armed(&log->tick))
		worker_arm(&log->control->worker, &log->tick, TICK_US, ticked);
}

/* ── opening ── */

static int open_file(struct span path, char why[128])
{
	char name[4096];
	int fd = -1;
	if (path.len < sizeof(name)) {
		memcpy(name, path.at, path.len);
		name[path.len] = '\0';
		fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
	} else
		errno = ENAMETOOLONG;
	if (fd < 0)
		snprintf(why, 128, "%s", strerror(errno));
	return fd;
}

static void use(struct access_log *log, int fd)
{
	struct stat st;
	bool known = fstat(fd, &st) == 0;
	log->fd = fd;
	log->is_socket = known && S_ISSOCK(st.st_mode);
	log->write_max = known && S_ISREG(st.st_mode) ? STAGED_BYTES : PIPE_WRITE_BYTES;
}

static bool make_rings(struct access_log *log, unsigned workers)
{
	log->rings = calloc(workers, sizeof(*log->rings));
	while (log->rings && log->ring_count < workers) {
		struct ring *r = aligned_alloc(_Alignof(struct ring), sizeof(*r));
		if (!r)
			return false;
		memset(r, 0, offsetof(struct ring, line));    /* the rest is untouched memory until it is needed */
		log->rings[log->ring_count++] = r;
	}
	return log->rings != NULL;
}

static void free_log(struct access_log *log)
{
	for (unsigned i = 0; i < log->ring_count; i++)
		free(log->rings[i]);
	free(log->rings);
	free(log);
}

static access_line *line_of(unsigned format)
{
	return format == CONF_ACCESS_TEXT ? access_line_text : format == CONF_ACCESS_OTEL ? access_line_otel
		: format == CONF_ACCESS_CLF ? access_line_clf : access_line_json;
}

struct access_log *access_log_new(const struct conf_access_log *conf, struct loop *control, unsigned workers, char why[128])
{
	struct access_log *log = calloc(1, sizeof(*log));
	snprintf(why, 128, "out of memory");
	if (!log)
		return NULL;
	log->conf = *conf;
	log->control = control;
	log->owns_fd = conf->to == CONF_LOG_FILE;
	int fd = log->owns_fd ? open_file(conf->file, why) : conf->to == CONF_LOG_STDERR ? STDERR_FILENO : STDOUT_FILENO;
	if (fd >= 0 && make_rings(log, workers) && uv_async_init(&control->uv, &log->bell, bell_rang) == 0) {
		use(log, fd);
		log->line = line_of(conf->format == CONF_ACCESS_AUTO ? isatty(fd) ? CONF_ACCESS_TEXT : CONF_ACCESS_JSON : conf->format);
		log->bell.data = log;
		return log;
	}
	if (log->owns_fd && fd >= 0)
		close(fd);
	free_log(log);
	return NULL;
}

void access_log_reopen(struct access_log *log)
{
	char why[128];
	if (!log->owns_fd)
		return;
	int fd = open_file(log->conf.file, why);
	if (fd < 0) {
		log_event(LOG_ERROR, "access_log_not_reopened", "error", why, NULL);
		return;
	}
	drain(log);                               /* lines of before the signal belong to the file of before */
	close(log->fd);
	use(log, fd);
}

static void closed(uv_handle_t *bell) { free_log(bell->data); }

void access_log_free(struct access_log *log)
{
	if (!log)
		return;
	uint64_t until = clock_now_us() + FAREWELL_MS * 1000, now = until;
	for (drain(log); !all_is_out(log) && (now = clock_now_us()) < until; drain(log)) {
		struct pollfd p = { .fd = log->fd, .events = POLLOUT };
		if (poll(&p, 1, (int)((until - now) / 1000) + 1) > 0 && log->complained)
			break;                    /* it will not get better */
	}
	worker_disarm(&log->control->worker, &log->tick);
	if (log->owns_fd)
		close(log->fd);
	uv_close((uv_handle_t *)&log->bell, closed);
}
