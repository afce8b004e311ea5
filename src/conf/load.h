/* load.h - one loading of a configuration: the state that the files of conf/ share while they read.
 *
 * Everything that must outlive the loading goes to the arena of `conf`; the tree and the complaints go to `scratch`.
 * Nothing here stops at the first error: functions complain and go on, and conf_load() looks at the count in the end.
 */
#ifndef CONF_LOAD_H
#define CONF_LOAD_H

#include "base/map.h"
#include "conf/conf.h"
#include "tree.h"

enum { COMPLAINTS_MAX = 100 };                   /* after that many they are only counted */

struct complaint {
	const struct source_text *source;       /* NULL: about no place in particular     */
	unsigned order, line, column, width;
	bool warning;
	struct span message, hint;
};

struct level;
struct load {
	struct conf *conf;
	const struct conf_source *from;
	struct arena scratch;
	struct source_text *texts[3];           /* the file, the command line, the --set options; NULL where there is none */
	struct complaint *complaints; unsigned complaint_count;
	bool last_kept;                         /* was the last complaint kept? hints go there */
	unsigned errors, warnings;
	bool out_of_memory;
	/* What the levels have left, and the names that routes may say. */
	struct level *defaults, *upstream_levels;
	bool *upstream_used;
	const struct node **upstream_keys;
	unsigned upstream_room;
	struct map upstream_names, upstream_urls;
	const struct conf_route *route;         /* that is being read */
};

/* ── report.c ── */
/* `at` may be NULL: the file as a whole. `part` as in conf_complain. */
void complain(struct load *, const struct node *at, struct span part, const char *message, ...) __attribute__((format(printf, 4,
	5)));
void complain_warn(struct load *, const struct node *at, const char *message, ...) __attribute__((format(printf, 3, 4)));
void complain_place(struct load *, const struct source_text *, unsigned line, unsigned column, const char *message, ...)
	__attribute__((format(printf, 5, 6)));
void complain_hint(struct load *, const char *hint, ...) __attribute__((format(printf, 2, 3)));
void complain_memory(struct load *);
void report_write(struct load *, struct conf_report *);

/* ── tree.c: a mapping that is complete; false when reading must stop ── */
bool tree_find_duplicates(struct load *, struct node *map);
bool tree_merge(struct load *, struct node *map, unsigned *weight);

/* ── yaml.c, expand.c: text to tree; NULL after complaining, or when there is nothing in it ── */
struct node *yaml_read(struct load *, struct source_text *);
bool expand_value(struct load *, struct node *scalar);
struct source_text *source_new(struct load *, struct span name, struct span text, enum origin_via);
/* The same, with the name and kind of another. */
struct source_text *source_like(struct load *, const struct source_text *of, struct span text);
/* The bytes of line `line` (from 1), without its end. */
struct span source_line(const struct source_text *, unsigned line);

/* ── sets.c: --listen, --to and --set are edits of the tree ── */
struct node *sets_apply(struct load *, struct node *root);

/* ── origins.c: where values came from ── */
enum origin_level { ORIGIN_FILE, ORIGIN_DEFAULTS, ORIGIN_UPSTREAM, ORIGIN_ROUTE };
struct origin {
	const void *base;                       /* the struct that holds the member, and its row: together the key */
	const struct conf_key *row;
	enum origin_level level;
	enum origin_via via;
	unsigned line;
	struct span text;                       /* CONF_T_CUSTOM: as written, "[a, b]" for lists */
	const struct node *node;                /* only while loading */
};
struct conf_origins { struct origin *at; size_t count, size; };
void origins_fini(struct conf_origins *);
bool origins_put(struct conf_origins *, const struct origin *);
const struct origin *origins_find(const struct conf_origins *, const void *base, const struct conf_key *row);
void origins_forget_nodes(struct conf_origins *);

/* ── schema.c, apply.c, scalar.c: rows to structs ── */
struct place {                                  /* "routes[1].retry" with the label ('orders') */
	const struct place *up;
	struct span name;
	int index;                              /* -1: none */
	struct span label;
};
struct conf_reading {
	struct load *load;
	const struct place *place;
	const struct node *node;                /* what a complaint points at */
	const struct conf_key *row;
	enum origin_level level;
	bool failed;                            /* something was complained about since this was last cleared */
	/* A check: the block's struct at its levels, most specific first, for finding who wrote a key. */
	const struct conf_block *block;
	const void *bases[3];
};
/* A mapping onto the struct at `base`; unknown and refused keys are reported and taken out of the tree. */
void schema_apply(struct conf_reading *, const struct conf_key *keys, struct node *map, void *base);
void schema_apply_row(struct conf_reading *, const struct conf_key *row, struct node *key, void *base);
/* The value of a block: a mapping, nothing, or `off` when the block can be off. */
void schema_apply_block(struct conf_reading *, const char *name, const struct conf_key *keys, struct node *value, void *to);
/* "true" or "false" when `value` switches a block with a bool "enabled" on or off; else NULL. */
const char *schema_switch(const struct conf_key *keys, const struct node *value);
/* Every member to its default. */
void schema_preset(struct conf_reading *, const struct conf_key *keys, void *base);
/* Complains about rows with CONF_REQUIRED that nobody wrote. */
void schema_require(struct conf_reading *, const struct conf_key *keys, const struct node *at, const void *base);
extern const struct node schema_preset_node;      /* stands for a default in a table: a mistake there is a bug of ours */
const struct conf_key *schema_find(const struct conf_key *keys, struct span name);
/* Row of "backoff.base"; moves *base (when not NULL) to the struct that holds it. */
const struct conf_key *schema_find_path(const struct conf_key *keys, struct span path, const void **base);
void schema_place(const struct place *, struct text *out);
struct nearest;
void schema_offer(struct nearest *, const char *prefix, const struct conf_key *keys);
void schema_unknown(struct conf_reading *, const struct node *key, const struct nearest *);
void schema_not_yet(struct conf_reading *, const struct node *key);
void schema_hint_allowed(struct conf_reading *, const struct conf_key *keys);
/* One scalar; complains and returns false when it is wrong. */
bool schema_scalar(struct conf_reading *, const struct conf_key *, void *field, struct span text);

/* ── nearest.c ── */
struct nearest { struct span wanted; char best[64]; unsigned distance; };
void nearest_init(struct nearest *, struct span wanted);
void nearest_offer(struct nearest *, const char *prefix, struct span candidate);
bool nearest_found(const struct nearest *);

/* ── levels.c: defaults < upstream < route ── */
struct level_scope {                            /* which keys may stand at a level */
	const struct conf_key *own;
	unsigned level;                         /* enum conf_level */
	enum origin_level origin;
	const char *noun;                       /* "a route" */
};
struct level {                                  /* settings of all blocks at one place */
	void **settings; bool *present;         /* these two outlive the loading */
	bool *broken;
	const struct node **nodes;              /* the key that last named the block, or NULL */
};
bool level_new(struct load *, const struct level *under, struct level *out);
void level_read(struct load *, const struct level_scope *, const struct place *, struct node *map, void *own, struct level *);
/* The blocks' own checks of a merged level; bases are route, upstream, defaults, as far as there are. */
void level_check(struct load *, const struct place *, const struct node *at, const struct level *, void **const levels[3]);

/* ── the tables and their readings ── */
extern const struct conf_key conf_top_keys[], conf_upstream_keys[], conf_route_keys[];
extern const struct level_scope scope_defaults, scope_upstream, scope_route;
const struct level_scope *scope_of(unsigned level);
/* conf_upstreams.c; there is room for two anonymous ones for each of `routes` behind those of the mapping (NULL: none). */
void upstreams_read(struct load *, struct node *map, unsigned routes);
struct conf_upstream *upstreams_find(struct load *, struct span name);
/* The upstream that stands for a URL, made at first sight. */
struct conf_upstream *upstreams_anonymous(struct load *, struct span url, unsigned line);
/* conf_routes.c */
void routes_read(struct load *, struct node *list);
void routes_cross_check(struct load *, struct node *list);
/* Where the value of a row stands, or NULL when nobody wrote it. */
const struct node *load_node(const struct load *, const struct conf_key *keys, const char *name, const void *base);
void conf_cross_check(struct load *, struct node *root);

/* ── check.c: is this text what it should be? `why` gets the words of the complaint, `hint` of the cure. ── */
struct fault_words { struct span part; char why[160], hint[120]; };
bool check_listen(struct span, struct fault_words *);
bool check_url(struct span, struct fault_words *);          /* http://host[:port], unix:/path */
bool check_network(struct span);                            /* IP or IP/len */
bool check_token(struct span);                              /* RFC 9110 §5.6.2 */
bool check_field_value(struct span);                        /* no control characters but HTAB */
bool check_host(struct span);                               /* name, *.name, address; no port */
bool check_name(struct span, const char *also);             /* letters, digits, and those in `also` */

/* ── cpus.c ── */
uint64_t cpus_allowed(void);                                /* affinity and cgroup quota, at least 1 */

#endif
