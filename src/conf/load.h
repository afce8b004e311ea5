/* load.h - one loading of a configuration: the state that the files of conf/ share while they read.
 *
 * Everything that must outlive the loading goes to the arena of `conf`; the tree and the complaints go to `scratch`.
 * Nothing here stops at the first error: functions complain and go on, and conf_load() looks at the count in the end.
 */
#ifndef CONF_LOAD_H
#define CONF_LOAD_H

#include "conf/conf.h"
#include "tree.h"

enum { COMPLAINTS_MAX = 100 };                   /* after that many they are only counted */

struct complaint {
	const struct source_text *source;       /* NULL: about no place in particular     */
	unsigned order, line, column, width;
	bool warning;
	struct span message, hint;
};

struct load {
	struct conf *conf;
	const struct conf_source *from;
	struct arena scratch;
	struct source_text *texts[3];           /* the file, the command line, the --set options; NULL where there is none */
	struct complaint *complaints; unsigned complaint_count;
	bool last_kept;                         /* was the last complaint kept? hints go there */
	unsigned errors, warnings;
	bool out_of_memory;
};

/* ── report.c ── */
/* `at` may be NULL: the file as a whole. `part` as in conf_complain. */
void complain(struct load *, const struct node *at, struct span part, const char *message, ...) __attribute__((format(printf, 4, 5)));
void complain_warn(struct load *, const struct node *at, const char *message, ...) __attribute__((format(printf, 3, 4)));
void complain_place(struct load *, const struct source_text *, unsigned line, unsigned column, const char *message, ...)
	__attribute__((format(printf, 5, 6)));
void complain_hint(struct load *, const char *hint, ...) __attribute__((format(printf, 2, 3)));
void complain_memory(struct load *);
void report_write(struct load *, struct conf_report *);

/* ── yaml.c, expand.c: text to tree; NULL after complaining, or when there is nothing in it ── */
struct node *yaml_read(struct load *, struct source_text *);
bool expand_value(struct load *, struct node *scalar);
struct source_text *source_new(struct load *, struct span name, struct span text, enum origin_via);
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

/* ── schema.c: rows to structs ── */
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
/* Every member to its default. */
void schema_preset(struct conf_reading *, const struct conf_key *keys, void *base);
/* Complains about rows with CONF_REQUIRED that nobody wrote. */
void schema_require(struct conf_reading *, const struct conf_key *keys, const struct node *at, const void *base);
const struct conf_key *schema_find(const struct conf_key *keys, struct span name);
/* Row of "backoff.base"; moves *base (when not NULL) to the struct that holds it. */
const struct conf_key *schema_find_path(const struct conf_key *keys, struct span path, const void **base);
void schema_place(const struct place *, struct text *out);
/* One scalar; complains and returns false when it is wrong. values.c */
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
	void **settings; bool *present, *broken;
};
bool level_new(struct load *, const struct level *under, struct level *out);
void level_read(struct load *, const struct level_scope *, const struct place *, struct node *map, void *own, struct level *);
/* The blocks' own checks of a merged level; bases are route, upstream, defaults, as far as there are. */
void level_check(struct load *, const struct place *, const struct node *at, const struct level *, void **const levels[3]);

/* ── the tables and their readings ── */
extern const struct conf_key conf_top_keys[], conf_upstream_keys[], conf_route_keys[];
extern const struct level_scope scope_defaults, scope_upstream, scope_route;
const struct level_scope *scope_of(unsigned level);
void upstreams_read(struct load *, struct node *map, const struct level *defaults);
void routes_read(struct load *, struct node *list, const struct level *defaults);
struct conf_upstream *upstreams_anonymous(struct load *, struct span url, const struct level *defaults, unsigned line);
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
