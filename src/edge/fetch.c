/* fetch.c - the only user of libcurl: multi_socket on uv_poll_t, its clock on one uv_timer_t.
 *
 * Always true: no code of the caller's runs inside a callback of libcurl, so he may cancel whatever he likes whenever he is called.
 * libcurl's callbacks only keep bytes, poll sockets and set the timer; what has ended is collected by reap(), when it has returned.
 */
#include "edge/fetch.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/text.h"

enum { CONNECTIONS_KEPT = 16, ETAG_MAX = 256, PIN_MAX = 4096, HEADERS_KEPT_MAX = 64 * 1024, ERROR_MAX = 160, MAX_AGE_MAX_S = 31536000 };

struct fetcher { uv_loop_t *uv; CURLM *multi; uv_timer_t timer; struct list running, sockets; };
struct fetch_socket { uv_poll_t poll; struct link link; struct fetcher *fetcher; curl_socket_t fd; };

struct fetch {
	struct fetcher    *fetcher;
	struct link        on_running;
	CURL              *easy;
	bool               added;                 /* to the multi handle */
	struct curl_slist *headers, *pin;
	struct text        body;
	bool               cut_body;
	size_t             head_bytes;
	char               etag[ETAG_MAX];
	size_t             etag_len;
	bool               has_max_age;
	uint64_t           max_age_s;
	char               trouble[CURL_ERROR_SIZE], error[ERROR_MAX];
	void             (*done)(void *self, const struct fetch_result *);
	void              *self;
};

/* ── what comes in ── */

static size_t take_body(char *at, size_t size, size_t count, void *self)
{
	struct fetch *f = self;
	text_add(&f->body, (struct span){ at, size * count });
	return f->body.cut ? 0 : size * count;    /* 0: libcurl gives up with CURLE_WRITE_ERROR */
}

static void take_cache_control(struct fetch *f, struct span value)
{
	struct span one;
	while (span_next(&value, ',', &one)) {
		bool never = span_eq_nocase(one, SPAN("no-cache")) || span_eq_nocase(one, SPAN("no-store"));
		if (never || (span_starts_nocase(one, SPAN("max-age=")) && span_to_u64(span_from(one, 8), MAX_AGE_MAX_S, &f->max_age_s)))
			f->has_max_age = true;
		if (never) {
			f->max_age_s = 0;
			return;
		}
	}
}

static size_t take_header(char *at, size_t size, size_t count, void *self)
{
	struct fetch *f = self;
	struct span line = { at, size * count };

	f->head_bytes += line.len;
	if (f->head_bytes > HEADERS_KEPT_MAX)
		return 0;
	while (line.len && (line.at[line.len - 1] == '\n' || line.at[line.len - 1] == '\r'))
		line.len--;
	if (span_starts(line, SPAN("HTTP/"))) {   /* of an informational head, or of the next one */
		f->etag_len = 0;
		f->has_max_age = false;
	}
	if (span_starts_nocase(line, SPAN("cache-control:")))
		take_cache_control(f, span_from(line, 14));
	if (span_starts_nocase(line, SPAN("etag:"))) {
		struct span value = span_trim(span_from(line, 5));
		f->etag_len = value.len <= sizeof(f->etag) ? value.len : 0;
		memcpy(f->etag, value.at, f->etag_len);
	}
	return size * count;
}

/* ── endings ── */

static void fetch_free(struct fetch *f)
{
	link_remove(&f->on_running);
	if (f->added)
		curl_multi_remove_handle(f->fetcher->multi, f->easy);
	if (f->easy)
		curl_easy_cleanup(f->easy);
	curl_slist_free_all(f->headers);
	curl_slist_free_all(f->pin);
	text_fini(&f->body);
	free(f);
}

void fetch_cancel(struct fetch *f)
{
	if (f)
		fetch_free(f);
}

/* libcurl's words name addresses, ports and milliseconds, which would make each repetition a new message. */
static const char *words_for(struct fetch *f, CURLcode code, bool has_head)
{
	struct text t;
	long number = 0;
	text_over(&t, f->error, sizeof(f->error) - 1);
	switch (code) {
	case CURLE_COULDNT_CONNECT:
		curl_easy_getinfo(f->easy, CURLINFO_OS_ERRNO, &number);
		text_f(&t, "cannot connect%s%s", number ? ": " : "", number ? strerror((int)number) : "");
		break;
	case CURLE_OPERATION_TIMEDOUT:
		text_add(&t, has_head ? SPAN("timed out within the answer") : SPAN("timed out"));
		break;
	case CURLE_GOT_NOTHING:
		text_add(&t, SPAN("closed without an answer"));
		break;
	case CURLE_WRITE_ERROR:
		if (f->body.cut)
			text_f(&t, "the answer is longer than %zu bytes", f->body.max);
		else
			text_add(&t, SPAN("the head of the answer is too long"));
		break;
	default:
		text_add(&t, span_of(f->trouble[0] ? f->trouble : curl_easy_strerror(code)));
	}
	f->error[t.len] = '\0';
	return f->error;
}

static void finish(struct fetch *f, CURLcode code)
{
	struct fetch_result result = { .body = text_span(&f->body), .etag = { f->etag, f->etag_len }, .has_max_age = f->has_max_age,
		.max_age_s = f->max_age_s };
	long status = 0;
	curl_off_t took = 0;

	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(f->easy, CURLINFO_TOTAL_TIME_T, &took);
	result.status = (int)status;
	result.took_us = (uint64_t)took;
	result.ok = code == CURLE_OK || (code == CURLE_WRITE_ERROR && f->body.cut && f->cut_body);
	result.error = result.ok ? NULL : words_for(f, code, status > 0);
	curl_multi_remove_handle(f->fetcher->multi, f->easy);
	f->added = false;
	link_remove(&f->on_running);
	f->done(f->self, &result);
	fetch_free(f);
}

static void reap(struct fetcher *fetcher)
{
	const CURLMsg *m;
	int left;
	while ((m = curl_multi_info_read(fetcher->multi, &left))) {
		void *f = NULL;
		CURLcode code = m->data.result;       /* the message goes with its handle */
		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&f);
		finish(f, code);
	}
}

/* ── libcurl on the loop ── */

static void time_passed(uv_timer_t *timer)
{
	struct fetcher *fetcher = timer->data;
	int running;
	curl_multi_socket_action(fetcher->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap(fetcher);
}

static int set_timer(CURLM *multi, long ms, void *self)
{
	struct fetcher *fetcher = self;
	(void)multi;
	if (ms < 0)
		uv_timer_stop(&fetcher->timer);
	else
		uv_timer_start(&fetcher->timer, time_passed, (uint64_t)ms, 0);
	return 0;
}

static void socket_ready(uv_poll_t *poll, int status, int events)
{
	const struct fetch_socket *s = container_of(poll, struct fetch_socket, poll);
	struct fetcher *fetcher = s->fetcher;
	int running, what = (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
	curl_multi_socket_action(fetcher->multi, s->fd, status < 0 ? CURL_CSELECT_ERR : what, &running);
	reap(fetcher);
}

static void socket_closed(uv_handle_t *h) { free(container_of((uv_poll_t *)h, struct fetch_socket, poll)); }

static void socket_forget(struct fetch_socket *s)
{
	link_remove(&s->link);
	uv_close((uv_handle_t *)&s->poll, socket_closed);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *self, void *known)
{
	struct fetcher *fetcher = self;
	struct fetch_socket *s = known;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s)
			socket_forget(s);
		return 0;
	}
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s || uv_poll_init(fetcher->uv, &s->poll, fd) != 0) {
			free(s);
			return -1;
		}
		s->fetcher = fetcher;
		s->fd = fd;
		list_append(&fetcher->sockets, &s->link);
		curl_multi_assign(fetcher->multi, fd, s);
	}
	uv_poll_start(&s->poll, (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0), socket_ready);
	return 0;
}

/* ── starting ── */

/* "+host:port:address,address": known for this fetch, and forgotten again. */
static bool add_pin(struct fetch *f, const struct fetch_request *r)
{
	char memory[PIN_MAX + 1], address[INET6_ADDRSTRLEN];
	struct text t;

	text_over(&t, memory, PIN_MAX);
	text_f(&t, "+%s:%u:", r->pin.host, r->pin.port);
	for (unsigned i = 0; i < r->pin.count; i++) {
		const struct sockaddr_storage *at = &r->pin.at[i].at;
		bool v6 = at->ss_family == AF_INET6;
		const void *bytes = v6 ? (const void *)&((const struct sockaddr_in6 *)at)->sin6_addr
			: (const void *)&((const struct sockaddr_in *)at)->sin_addr;
		if (inet_ntop(at->ss_family, bytes, address, sizeof(address)))
			text_f(&t, v6 ? "%s[%s]" : "%s%s", i ? "," : "", address);
	}
	memory[t.len] = '\0';
	f->pin = t.cut ? NULL : curl_slist_append(NULL, memory);
	return f->pin && curl_easy_setopt(f->easy, CURLOPT_RESOLVE, f->pin) == CURLE_OK;
}

static bool add_headers(struct fetch *f, const struct fetch_request *r)
{
	for (unsigned i = 0; i < r->header_count; i++) {
		struct curl_slist *longer = curl_slist_append(f->headers, r->headers[i]);
		if (!longer)
			return false;
		f->headers = longer;
	}
	if (r->body.at) {                         /* no waiting for a 100 */
		struct curl_slist *longer = curl_slist_append(f->headers, "Expect:");
		if (!longer)
			return false;
		f->headers = longer;
	}
	return !f->headers || curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->headers) == CURLE_OK;
}

static bool add_method(struct fetch *f, const struct fetch_request *r)
{
	bool ok = true;
	if (r->body.at)
		ok = curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len) == CURLE_OK
			&& curl_easy_setopt(f->easy, CURLOPT_COPYPOSTFIELDS, r->body.at) == CURLE_OK;
	if (r->method && span_eq(span_of(r->method), SPAN("HEAD")))
		return ok && curl_easy_setopt(f->easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
	return ok && (!r->method || curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, r->method) == CURLE_OK);
}

static bool set_up(struct fetch *f, const struct fetch_request *r)
{
	long ms = r->timeout_us < 1000 ? 1L : r->timeout_us / 1000 > INT32_MAX ? (long)INT32_MAX : (long)(r->timeout_us / 1000);
	bool fresh = r->fresh || r->body.at, ok = true;

#define SET(option, value) (ok = ok && curl_easy_setopt(f->easy, option, value) == CURLE_OK)
	SET(CURLOPT_PRIVATE, (void *)f);
	SET(CURLOPT_ERRORBUFFER, f->trouble);
	SET(CURLOPT_URL, r->url);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);              /* cancelling does not wait for a thread that looks a name up */
	SET(CURLOPT_TIMEOUT_MS, ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, ms);
	SET(CURLOPT_USERAGENT, "outrigger");
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, (void *)f);
	SET(CURLOPT_HEADERFUNCTION, take_header);
	SET(CURLOPT_HEADERDATA, (void *)f);
	SET(CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L);
	SET(CURLOPT_FORBID_REUSE, fresh ? 1L : 0L);
	if (r->direct)
		SET(CURLOPT_NOPROXY, "*");
	if (r->unix_socket)
		SET(CURLOPT_UNIX_SOCKET_PATH, r->unix_socket);
#undef SET
	return ok && add_method(f, r) && add_headers(f, r) && (!r->pin.count || add_pin(f, r));
}

struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_request *r)
{
	struct fetch *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->fetcher = fetcher;
	f->done = r->done;
	f->self = r->self;
	f->cut_body = r->cut_body;
	link_init(&f->on_running);
	text_init(&f->body, r->max_body);
	f->easy = curl_easy_init();
	f->added = f->easy && set_up(f, r) && curl_multi_add_handle(fetcher->multi, f->easy) == CURLM_OK;
	if (!f->added) {
		fetch_free(f);
		return NULL;
	}
	list_append(&fetcher->running, &f->on_running);
	return f;
}

/* ── life ── */

struct fetcher *fetcher_new(uv_loop_t *uv)
{
	struct fetcher *fetcher = calloc(1, sizeof(*fetcher));
	if (!fetcher || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
		free(fetcher);
		return NULL;
	}
	if (!(fetcher->multi = curl_multi_init())) {
		curl_global_cleanup();
		free(fetcher);
		return NULL;
	}
	fetcher->uv = uv;
	list_init(&fetcher->running);
	list_init(&fetcher->sockets);
	uv_timer_init(uv, &fetcher->timer);
	fetcher->timer.data = fetcher;
	curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
	curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
	curl_multi_setopt(fetcher->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
	return fetcher;
}

static void timer_closed(uv_handle_t *h) { free(h->data); }

void fetcher_free(struct fetcher *fetcher)
{
	if (!fetcher)
		return;
	list_each (l, &fetcher->running)
		fetch_free(container_of(l, struct fetch, on_running));
	curl_multi_cleanup(fetcher->multi);       /* closes the connections that were kept */
	list_each (l, &fetcher->sockets)
		socket_forget(container_of(l, struct fetch_socket, link));
	curl_global_cleanup();
	uv_close((uv_handle_t *)&fetcher->timer, timer_closed);
}

const char *fetcher_curl_version(void) { return curl_version_info(CURLVERSION_NOW)->version; }
