/* readers.c - texts that mean more than text: addresses, paths, field names, and the few values with a shape of their own. */
#include "base/list.h"
#include "keys.h"
#include "value.h"

enum { WORKERS_MAX = 256, NAME_MAX_LEN = 64 };

static bool complain_words(struct conf_reading *r, bool ok, const struct fault_words *w)
{
	if (ok)
		return true;
	conf_complain(r, w->part, "%s", w->why);
	if (*w->hint)
		conf_hint(r, "%s", w->hint);
	return false;
}

bool read_listen(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)field; (void)index;
	struct fault_words w = { .part = text };
	return complain_words(r, check_listen(text, &w), &w);
}

bool read_admin_listen(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	return span_eq(text, SPAN("off")) || read_listen(r, field, text, index);
}

bool read_network(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)field; (void)index;
	if (check_network(text))
		return true;
	conf_complain(r, text, "'" SPAN_FMT "' is not an IP address or network", SPAN_ARG(text));
	conf_hint(r, "write 10.1.2.3, 10.0.0.0/8 or fd00::/8");
	return false;
}

bool read_absolute_path(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)field; (void)index;
	if (text.len && text.at[0] == '/' && check_field_value(text) && !span_has(text, ' ') && !span_has(text, '?') && !span_has(text,
		'#'))
		return true;
	conf_complain(r, text, "'" SPAN_FMT "' is not a path", SPAN_ARG(text));
	conf_hint(r, "a path begins with / and has no spaces, ? or #");
	return false;
}

bool read_target(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	const char *query = text.len ? memchr(text.at, '?', text.len) : NULL;
	struct span rest = query ? span_between(query, span_end(text)) : SPAN("");
	if (check_field_value(rest) && !span_has(rest, ' ') && !span_has(rest, '#'))
		return read_absolute_path(r, field, query ? span_between(text.at, query) : text, index);
	conf_complain(r, rest, "'" SPAN_FMT "' is not a path with a query", SPAN_ARG(text));
	return false;
}

bool read_url(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)index;
	struct fault_words w = { .part = text };
	if (!complain_words(r, check_url(text, &w), &w))
		return false;
	struct span *url = field;
	if (span_starts(text, SPAN("http://")) && text.at[text.len - 1] == '/')
		url->len--;                     /* a bare slash behind the port says nothing */
	return true;
}

/* Redis is where an upstream would be: its address is looked up and kept like that of one. */
static struct conf_upstream *redis_target(struct conf_reading *r, struct span place)
{
	static const struct span scheme = { "http://", 7 };
	bool path = span_starts(place, SPAN("unix:"));
	size_t skip = path ? 0 : scheme.len;
	struct conf_upstream *u = arena_take_zeroed(conf_arena(r), sizeof(*u));
	struct conf_endpoint *endpoint = arena_take_zeroed(conf_arena(r), sizeof(*endpoint));
	char *url = arena_text(conf_arena(r), skip + place.len + 5);
	if (!u || !endpoint || !url) {
		complain_memory(r->load);
		return NULL;
	}
	if (skip)
		memcpy(url, scheme.at, skip);
	memcpy(url + skip, place.at, place.len);
	size_t len = skip + place.len;
	const char *last = memrchr(place.at, ']', place.len);
	if (!path && !span_has(last ? span_between(last, span_end(place)) : place, ':')) {
		memcpy(url + len, ":6379", 5);
		len += 5;
	}
	*endpoint = (struct conf_endpoint){ { url, len }, 1 };
	*u = (struct conf_upstream){ .name = SPAN("redis"), .endpoints = endpoint, .endpoint_count = 1, .anonymous = true };
	return u;
}

bool read_redis_url(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	struct conf_redis *redis = container_of(field, struct conf_redis, url);
	struct fault_words w = { .part = text };
	struct span place = text;
	uint64_t number;
	redis->url = text;
	redis->user = SPAN_NONE;
	redis->database = SPAN("0");
	if (!span_starts(text, SPAN("unix:"))) {
		if (index || !span_starts(text, SPAN("redis://"))) {
			bool tls = span_starts(text, SPAN("rediss://"));
			conf_complain(r, text, "'" SPAN_FMT "' is %s", SPAN_ARG(text),
				tls ? "TLS to Redis: not in this version" : "not the URL of a Redis");
			conf_hint(r, "write redis://127.0.0.1:6379/0 or unix:/run/redis.sock");
			return false;
		}
		place = span_from(text, 8);
		const char *at = place.len ? memchr(place.at, '@', place.len) : NULL;
		if (at) {
			redis->user = span_between(place.at, at);
			place = span_between(at + 1, span_end(place));
		}
		if (span_has(redis->user, ':')) {
			conf_complain(r, redis->user, "a password does not belong in the configuration");
			conf_hint(r, "write it to a file and name that in password_file");
			return false;
		}
		const char *slash = place.len ? memchr(place.at, '/', place.len) : NULL;
		if (slash) {
			redis->database = slash + 1 == span_end(place) ? SPAN("0") : span_between(slash + 1, span_end(place));
			place = span_between(place.at, slash);
		}
		if (!span_to_u64(redis->database, 1000000, &number)) {
			conf_complain(r, redis->database, "'" SPAN_FMT "' is not the number of a database", SPAN_ARG(redis->database));
			conf_hint(r, "write redis://127.0.0.1:6379/0");
			return false;
		}
	}
	redis->target = redis_target(r, place);
	if (!redis->target)
		return false;
	w.part = text;
	return complain_words(r, check_url(redis->target->endpoints->url, &w), &w);
}

bool conf_store_exists(struct conf_reading *r, struct span name)
{
	const struct conf *conf = r->load->conf;
	struct nearest nearest;
	nearest_init(&nearest, name);
	for (unsigned i = 0; i < conf->redis_count; i++) {
		if (span_eq(conf->redis[i].name, name))
			return true;
		nearest_offer(&nearest, "", conf->redis[i].name);
	}
	conf_complain(r, name, "there is no store '" SPAN_FMT "'", SPAN_ARG(name));
	if (nearest_found(&nearest))
		conf_hint(r, "did you mean '%s'?", nearest.best);
	else
		conf_hint(r, "add redis: {" SPAN_FMT ": {url: redis://127.0.0.1:6379}}", SPAN_ARG(name));
	return false;
}

static bool status_range(struct conf_reading *r, struct span text, unsigned *from, unsigned *to)
{
	const char *dash = text.len ? memchr(text.at, '-', text.len) : NULL;
	struct span low = dash ? span_between(text.at, dash) : text, high = dash ? span_between(dash + 1, span_end(text)) : text;
	uint64_t min, max;
	if (span_to_u64(low, 599, &min) && span_to_u64(high, 599, &max) && min >= 100 && min <= max) {
		*from = (unsigned)min;
		*to = (unsigned)max;
		return true;
	}
	conf_complain(r, text, "'" SPAN_FMT "' is not a status or a range of them", SPAN_ARG(text));
	conf_hint(r, "write 200 or 200-299");
	return false;
}

bool read_expect_status(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	struct conf_health *health = container_of(field, struct conf_health, status_min);
	return status_range(r, index ? SPAN_NONE : text, &health->status_min, &health->status_max);
}

bool read_always_status(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	struct conf_always *always = container_of(field, struct conf_always, status_min);
	if (index || !span_eq(text, SPAN("off")))
		return status_range(r, index ? SPAN_NONE : text, &always->status_min, &always->status_max);
	always->status_min = 1;
	always->status_max = 0;
	return true;
}

bool read_buckets(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	struct conf_metrics *m = container_of(field, struct conf_metrics, bucket_us);
	struct span part;
	uint64_t us;
	if (index == 0)
		m->bucket_count = 0;
	if (index == 0 && span_eq(text, SPAN("default")))
		return true;
	if (!text.len || value_duration(text, &us, &part) != VALUE_OK || us == 0) {
		conf_complain(r, text, "'" SPAN_FMT "' is not the end of a bucket", SPAN_ARG(text));
		conf_hint(r, "write default, or a list of durations: [5ms, 100ms, 1s]");
		return false;
	}
	if (m->bucket_count && us <= m->bucket_us[m->bucket_count - 1]) {
		conf_complain(r, text, "'" SPAN_FMT "' is not above the one before it", SPAN_ARG(text));
		return false;
	}
	if (m->bucket_count == CONF_BUCKETS_MAX) {
		conf_complain(r, text, "'buckets' has too many elements");
		conf_hint(r, "at most %d", CONF_BUCKETS_MAX);
		return false;
	}
	m->bucket_us[m->bucket_count++] = us;
	return true;
}

/* For libcurl: http or https, and nothing that could end a line. */
bool read_collector(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)field; (void)index;
	size_t scheme = span_starts(text, SPAN("https://")) ? 8 : span_starts(text, SPAN("http://")) ? 7 : 0;
	if (span_has(text, '@')) {                /* it would stand in logs */
		conf_complain(r, text, "a URL with a user name is not supported");
		return false;
	}
	if (!text.len || (scheme && text.len > scheme && text.at[scheme] != '/' && check_field_value(text) && !span_has(text, ' ')))
		return true;
	conf_complain(r, text, "'" SPAN_FMT "' is not the URL of a collector", SPAN_ARG(text));
	conf_hint(r, "write http://host:4318; /v1/traces is added");
	return false;
}

/* dns and srv share a member; which of them it was is kept beside it. */
bool read_dns(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	struct conf_upstream *u = container_of(field, struct conf_upstream, discover);
	if (span_starts(text, SPAN("unix:"))) {
		conf_complain(r, text, "a unix socket is not in the DNS");
		conf_hint(r, "write endpoints: " SPAN_FMT, SPAN_ARG(text));
		return false;
	}
	u->discovery = CONF_DNS;
	u->discover = text;
	return read_url(r, &u->discover, text, index);
}

bool read_srv(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)index;
	struct conf_upstream *u = container_of(field, struct conf_upstream, discover);
	u->discovery = CONF_SRV;
	u->discover = text;
	if (text.len > 1 && text.at[0] == '_' && check_host(text))
		return true;
	conf_complain(r, text, "'" SPAN_FMT "' is not the name of an SRV record", SPAN_ARG(text));
	conf_hint(r, "write _http._tcp.billing.internal");
	return false;
}

bool read_host_header(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)field; (void)index;
	bool clean = text.len && check_field_value(text);
	for (const char *c = text.at; clean && c < span_end(text); c++)
		clean = check_name((struct span){ c, 1 }, "-_.:[]");
	if (clean)
		return true;
	conf_complain(r, text, "'" SPAN_FMT "' cannot be a Host", SPAN_ARG(text));
	conf_hint(r, "write keep, endpoint, or a host");
	return false;
}

bool read_field_name(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)field; (void)index;
	if (check_token(text))
		return true;
	conf_complain(r, SPAN_NONE, "'" SPAN_FMT "' is not a field name", SPAN_ARG(text));
	conf_hint(r, "letters, digits and -, without the colon");
	return false;
}

bool read_field(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	const struct conf_pair *pair = field;
	if (index % 2 == 0)
		return read_field_name(r, field, text, index);
	if (check_field_value(text))
		return true;
	conf_complain(r, SPAN_NONE, "the value of '" SPAN_FMT "' has a control character in it", SPAN_ARG(pair->name));
	conf_hint(r, "a field value is one line");
	return false;
}

/* Fields that say how a message travels on one connection. We make those ourselves: setting them would do nothing, or let the two
 * ends disagree about where the message ends. */
static bool is_ours_to_make(struct span name)
{
	static const char *const names[] = { "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
		"upgrade" };
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (span_eq_nocase(name, span_of(names[i])))
			return true;
	return false;
}

static bool refuse_field(struct conf_reading *r, struct span name, const char *hint)
{
	conf_complain(r, SPAN_NONE, "'" SPAN_FMT "' cannot be set", SPAN_ARG(name));
	conf_hint(r, "%s", hint);
	return false;
}

/* In requests `host` may be set, for one route; host_header does it for all of an upstream. */
bool read_set_request_field(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	const struct conf_pair *pair = field;
	if (index % 2 == 0 && is_ours_to_make(text))
		return refuse_field(r, text, "it describes one connection, or where a body ends: outrigger makes it itself");
	if (index % 2 == 1 && span_eq_nocase(pair->name, SPAN("host")))
		return read_host_header(r, field, text, 0);
	return read_field(r, field, text, index);
}

bool read_set_reply_field(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	if (index % 2 == 0 && span_eq_nocase(text, SPAN("host")))
		return refuse_field(r, text, "only requests have it");
	return read_set_request_field(r, field, text, index);
}

bool read_route_name(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)field; (void)index;
	bool taken = span_eq(text, SPAN("none"));
	if (!taken && text.len <= NAME_MAX_LEN && check_name(text, "-_./:"))
		return true;
	conf_complain(r, text, "'" SPAN_FMT "' cannot be the name of a route", SPAN_ARG(text));
	if (taken) {
		conf_hint(r, "logs and metrics say none for requests that match no route");
		return false;
	}
	conf_hint(r, "at most %d letters, digits and - _ . / :", NAME_MAX_LEN);
	return false;
}

bool read_host(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)field; (void)index;
	if (check_host(text))
		return true;
	conf_complain(r, text, "'" SPAN_FMT "' is not a host", SPAN_ARG(text));
	bool port = span_has(text, ':') && !span_has(text, ']');
	conf_hint(r, port ? "leave the port out: all ports of a host are meant" : "write shop.example.com or \"*.shop.example.com\"");
	return false;
}

static bool read_regex(struct conf_reading *r, struct span text)
{
	const struct conf_source *from = r->load->from;
	char memory[160];
	struct text why;
	text_over(&why, memory, sizeof(memory));
	if (!from->regex_ok || from->regex_ok(span_from(text, 1), &why))
		return true;
	conf_complain(r, span_from(text, 1), "not a regular expression: " SPAN_FMT, SPAN_ARG(text_span(&why)));
	return false;
}

bool read_route_path(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)index;
	if (text.len > 1 && text.at[0] == '~')
		return read_regex(r, text);
	if (text.len > 1 && text.at[0] == '=' && text.at[1] == '/')
		return read_absolute_path(r, field, span_from(text, 1), 0);
	if (text.len && text.at[0] == '/')
		return read_absolute_path(r, field, text, 0);
	conf_complain(r, text, "'" SPAN_FMT "' is not a path", SPAN_ARG(text));
	conf_hint(r, "write /prefix, \"=/exact\" or \"~regex\"");
	return false;
}

bool read_method(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)field; (void)index;
	bool upper = check_token(text);
	for (size_t i = 0; i < text.len; i++)
		upper = upper && !(text.at[i] >= 'a' && text.at[i] <= 'z');
	if (upper)
		return true;
	conf_complain(r, text, "'" SPAN_FMT "' is not a method", SPAN_ARG(text));
	conf_hint(r, "methods are upper-case words such as GET");
	return false;
}

bool read_access_to(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	static const struct { const char *word; enum conf_access_to to; } words[] = {
		{ "off", CONF_LOG_OFF }, { "stdout", CONF_LOG_STDOUT }, { "stderr", CONF_LOG_STDERR },
	};
	(void)index;
	struct conf_access_log *log = container_of(field, struct conf_access_log, to);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (span_eq(text, span_of(words[i].word))) {
			log->to = words[i].to;
			log->file = SPAN_NONE;
			return true;
		}
	log->to = CONF_LOG_FILE;
	log->file = text;
	if (span_has(text, '/') && check_field_value(text))
		return true;
	conf_complain(r, text, "'to' cannot be '" SPAN_FMT "'", SPAN_ARG(text));
	conf_hint(r, "write stdout, stderr, off, or a file with a / in its path");
	return false;
}

bool read_detail(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)index;
	bool full = span_eq(text, SPAN("full"));
	*(bool *)field = full;
	if (full || span_eq(text, SPAN("minimal")))
		return true;
	conf_complain(r, text, "'detail' cannot be '" SPAN_FMT "'", SPAN_ARG(text));
	conf_hint(r, "allowed: minimal or full");
	return false;
}

bool read_workers(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)index;
	uint64_t n;
	if (span_eq(text, SPAN("auto"))) {
		n = cpus_allowed();
		*(uint64_t *)field = n < WORKERS_MAX ? n : WORKERS_MAX;
		return true;
	}
	if (span_to_u64(text, WORKERS_MAX, &n) && n) {
		*(uint64_t *)field = n;
		return true;
	}
	conf_complain(r, text, "'workers' cannot be '" SPAN_FMT "'", SPAN_ARG(text));
	conf_hint(r, "write 1 to %d, or auto", WORKERS_MAX);
	return false;
}
