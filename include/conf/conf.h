/* conf.h - the whole configuration file, read, checked and typed: an immutable, counted snapshot.
 *
 * conf knows where clients connect, which upstreams and routes there are, and what stands around them (admin, logs,
 * life cycle). What the policies want is theirs: they hand in conf_blocks, and conf hands back, per route, one filled-in
 * struct per block, merged over the levels defaults < upstream < route, key by key, each value with its origin.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/text.h"
#include "conf/schema.h"

struct conf_listener { struct span address; };     /* "0.0.0.0:8080", "[::]:8080", ":8080", "unix:/path" */

struct conf_client {                              /* limits on the client side of every listener (interface §1) */
	uint64_t max_connections, max_connections_per_ip;
	uint64_t first_byte_timeout_us, header_timeout_us;
	struct { uint64_t idle_timeout_us, min_rate, grace_us; } body;
	uint64_t write_idle_timeout_us, keepalive_timeout_us, max_requests_per_connection, max_connection_age_us;
	uint64_t max_header_size, max_headers, max_target_size, max_request_body;
};

struct conf_admin { struct span listen; struct conf_texts public_paths; struct span token_file; bool page; };

struct conf_endpoint { struct span url; uint64_t weight; };          /* http://host[:port], unix:/path */
struct conf_health {
	bool present; struct span path; uint64_t interval_us; double jitter; uint64_t timeout_us;
	unsigned status_min, status_max; uint64_t healthy_after, unhealthy_after;
};
struct conf_pool { uint64_t max_connections, idle_timeout_us, max_requests; };
enum conf_discovery { CONF_STATIC, CONF_DNS, CONF_SRV };
struct conf_upstream {
	struct span name;
	enum conf_discovery discovery;
	struct conf_endpoint *endpoints; unsigned endpoint_count;     /* CONF_STATIC                        */
	struct span discover;                                          /* CONF_DNS: http://host:port; CONF_SRV: _name */
	uint64_t connect_timeout_us;
	struct span host_header;                                       /* "keep", "endpoint", or a value     */
	struct conf_pool pool;
	struct conf_health health_check;
	bool required;
	void **settings;                                               /* [block index]: merged over defaults and this upstream */
	bool  *present;                                                /* [block index]                      */
	bool   anonymous;                                              /* made for a route whose upstream is a URL */
	unsigned index;                                                /* position in conf.upstreams         */
	unsigned line;
};

struct conf_route {
	struct span name;                                              /* given, or made of the path ("/search"), unique */
	struct conf_texts hosts, methods;                              /* count 0: any                       */
	struct span path;                                              /* as written: "/prefix", "=/exact", "~regex" */
	struct conf_map headers;                                       /* all must be equal                  */
	struct conf_flag flag;                                         /* must be on                         */
	struct conf_upstream *upstream;                                /* NULL: `respond` answers            */
	struct conf_choice to;                                         /* upstream: as written, a name, a URL, or shares by name */
	struct span rewrite_prefix;                                    /* .at NULL: none                     */
	struct conf_map request_set, reply_set; struct conf_texts request_remove, reply_remove;
	uint64_t max_request_body;                                     /* client.max_request_body, or the route's own */
	void **settings;                                               /* [block index]: the block's struct, merged */
	bool  *present;                                                /* [block index]                      */
	unsigned index, line;
	/* upstream: {v1: 95%, v2: 5%}. This route is the first of its ways; the others are whole routes too, alike but for upstream and settings. */
	struct conf_route *others; unsigned other_count;
	double share;                                                  /* of this way; 1 when there is one   */
};

struct conf_redis {
	struct span name;
	struct span url;                                               /* as written */
	struct span user, database;                                    /* parts of it; empty: none; "0" */
	struct conf_upstream *target;                                  /* where it is: one endpoint; not among conf.upstreams */
	struct span password_file;
	uint64_t timeout_us;
};

struct conf_origins;                       /* private: where each value came from */

enum conf_access_to { CONF_LOG_OFF, CONF_LOG_STDOUT, CONF_LOG_STDERR, CONF_LOG_FILE };
enum conf_access_format { CONF_ACCESS_AUTO, CONF_ACCESS_TEXT, CONF_ACCESS_JSON, CONF_ACCESS_OTEL, CONF_ACCESS_CLF };
struct conf_always { unsigned status_min, status_max; uint64_t slower_us; bool retried; };    /* slower_us 0: does not count */
struct conf_access_log {
	enum conf_access_to to; struct span file; unsigned format; double sample; struct conf_always always; struct conf_texts skip_paths;
};
enum { CONF_BUCKETS_MAX = 32 };
struct conf_metrics { bool per_endpoint; uint64_t bucket_us[CONF_BUCKETS_MAX]; unsigned bucket_count; };    /* 0: the usual ones */
struct conf_tracing { struct span otlp; double sample; struct span service; };                 /* otlp empty: none */
struct conf_log { unsigned level, format; };                       /* format: 0 auto, 1 text, 2 json     */
struct conf_errors { unsigned format; bool full_detail; };         /* format: 0 auto, 1 json, 2 html     */
struct conf_shutdown { uint64_t delay_us, timeout_us; };
struct conf_overload { uint64_t queue_delay_us, loop_lag_us; double memory, descriptors; };       /* 0: does not count */

struct conf_flags { struct span from; uint64_t interval_us; struct conf_texts forward; };      /* from empty: there are none */
struct conf_flag_use { struct conf_flag_use *next; struct conf_flag flag; };

struct conf {
	struct arena arena;
	unsigned refs;                                                 /* atomic */
	struct conf_listener *listeners; unsigned listener_count;
	struct conf_texts trusted_proxies;                             /* checked: IP or IP/len              */
	struct conf_client client;
	struct conf_admin admin;
	struct conf_upstream *upstreams; unsigned upstream_count;
	struct conf_route *routes; unsigned route_count;               /* in the order written               */
	struct conf_redis *redis; unsigned redis_count;
	struct conf_log log;
	struct conf_access_log access_log;
	struct conf_metrics metrics;
	struct conf_tracing tracing;
	struct conf_errors errors;
	struct conf_shutdown shutdown;
	struct conf_overload overload;
	struct conf_flags flags; struct conf_flag_use *flag_uses;      /* each flag that is named somewhere, once */
	uint64_t workers;                                              /* auto is already a number           */
	unsigned supervisor; uint64_t watchdog_us;                     /* 0: none                            */
	unsigned sandbox; struct span user;                            /* empty: as started                  */
	const struct conf_block *blocks; unsigned block_count;         /* as handed in                       */
	struct span file;                                              /* "outrigger.yaml", "-", "command line" */
	struct span text_read;                                         /* the bytes of the file(s), for the digest that app/ shows */
	void **defaults; bool *defaults_present;                       /* [block index]: what upstreams and routes start from */
	uint64_t loaded_wall_ms;
	struct conf_origins *origins;                                  /* of every value, for conf_print     */
};

/* What to read. Later sources override earlier ones key by key: file, then --listen/--to, then --set. */
struct conf_source {
	const char *file;                      /* path, "-" for standard input, NULL: none */
	struct span text;                      /* .at not NULL: this is what `file` holds; nothing is opened */
	const char *listen, *to;               /* --listen, --to                           */
	const char *const *sets; unsigned set_count;       /* "retry.max_retries=2", "listen=:80" */
	const struct conf_block *blocks; unsigned block_count;
	/* Is this regular expression (a route's path without the ~) a good one? `why` gets the words. NULL: not checked here. */
	bool (*regex_ok)(struct span pattern, struct text *why);
};

struct conf_report {                       /* what was wrong, ready to print */
	struct text text;                      /* messages with caret lines, then "2 errors, 0 warnings" */
	struct text json;                      /* [{"file","line","column","severity","message","hint"}, ...] */
	unsigned errors, warnings;
};

void         conf_report_init(struct conf_report *);
void         conf_report_fini(struct conf_report *);
/* NULL when there are errors. Warnings may be there either way. */
struct conf *conf_load(const struct conf_source *, struct conf_report *);
struct conf *conf_ref(struct conf *);
void         conf_unref(struct conf *);
bool         conf_listens(const struct conf *, struct span address);     /* is it one of `listen`? */

/* Printers; all from the same tables. */
void conf_print(const struct conf *, bool with_origin, struct text *out);              /* effective YAML, secrets hidden */
void conf_print_json(const struct conf *, struct text *out);                           /* GET /config */
void conf_print_schema(const struct conf_block *, unsigned count, struct text *out);    /* JSON Schema draft-07 */
void conf_print_reference(const struct conf_block *, unsigned count, struct text *out); /* docs/configuration.md */
void conf_print_example(const struct conf_block *, unsigned count, struct text *out);   /* conf/outrigger.yaml: every key with its default */
/* `outrigger help KEY`, e.g. "retry.budget": false when there is no such key. */
bool conf_print_key(const struct conf_block *, unsigned count, struct span key, struct text *out);
/* Each setting of a route; with where it came from for `explain`. */
void conf_print_route(const struct conf *, const struct conf_route *, bool with_origin, struct text *out);

const char *conf_yaml_version(void);

#endif
