/* conf.c - the whole configuration: sources to a tree, the tree to structs, and the counted snapshot that comes out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum { KEEP_MAX = 512 * 1024 * 1024, SCRATCH_MAX = 512 * 1024 * 1024 };      /* bytes of the two arenas */

/* ── the text ── */

static bool read_all(struct load *load, int fd, struct span *out)
{
	size_t room = 64 * 1024, len = 0;
	char *bytes = malloc(room);
	for (ssize_t n = 1; bytes && n > 0;) {
		if (len == room) {
			char *more = room <= TREE_FILE_MAX ? realloc(bytes, room * 2) : NULL;
			if (!more)
				break;
			bytes = more;
			room *= 2;
		}
		n = read(fd, bytes + len, room - len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0) {
			complain(load, NULL, SPAN_NONE, "cannot be read: %s", strerror(errno));
			free(bytes);
			return false;
		} else
			len += (size_t)n;
	}
	*out = bytes && len <= TREE_FILE_MAX ? arena_copy(&load->conf->arena, (struct span){ bytes, len }) : SPAN_NONE;
	free(bytes);
	if (!out->at)
		complain(load, NULL, SPAN_NONE, "is larger than %d bytes", TREE_FILE_MAX);
	return out->at != NULL;
}

static bool read_file(struct load *load, const char *path, struct span *out)
{
	if (strcmp(path, "-") == 0)
		return read_all(load, STDIN_FILENO, out);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		complain(load, NULL, SPAN_NONE, "cannot be opened: %s", strerror(errno));
		complain_hint(load, "name another with -c FILE, or use --listen ADDR --to URL");
		return false;
	}
	bool ok = read_all(load, fd, out);
	close(fd);
	return ok;
}

static struct node *read_source(struct load *load)
{
	const struct conf_source *from = load->from;
	struct conf *conf = load->conf;
	if (from->text.at) {
		if (from->text.len > TREE_FILE_MAX) {
			complain(load, NULL, SPAN_NONE, "is larger than %d bytes", TREE_FILE_MAX);
			return NULL;
		}
		conf->text_read = arena_copy(&conf->arena, from->text);
		if (!conf->text_read.at)
			complain_memory(load);
	} else if (from->file) {
		if (!read_file(load, from->file, &conf->text_read))
			return NULL;
	}
	struct source_text *source = conf->text_read.at ? source_new(load, conf->file, conf->text_read, VIA_FILE) : NULL;
	struct node *root = source ? yaml_read(load, source) : NULL;
	if (root && node_is_null(root))
		root = NULL;
	if (!root && load->errors)
		return NULL;
	root = sets_apply(load, root);
	if (root && root->kind != NODE_MAP) {
		complain(load, root, SPAN_NONE, "a configuration is a mapping of keys");
		complain_hint(load, "begin with listen: 0.0.0.0:8080");
		root = NULL;
	}
	return root;
}

/* ── the tree ── */

static void forget_private(struct node *root)
{
	struct node *before = NULL;
	for (struct node *key = root->first; key; key = key->next)
		if (span_starts(key->text, SPAN("x-")))
			node_unlink(root, before, key);
		else
			before = key;
}

static void read_defaults(struct load *load, struct node *root)
{
	static const struct place here = { .name = { "defaults", 8 }, .index = -1 };
	struct node *key = node_find(root, SPAN("defaults"));
	if (!key || node_is_null(key->value))
		return;
	if (key->value->kind != NODE_MAP) {
		complain(load, key, SPAN_NONE, "'defaults' must be a mapping");
		complain_hint(load, "write defaults: {timeout: 15s}");
		return;
	}
	level_read(load, &scope_defaults, &here, key->value, NULL, load->defaults);
}

static void read_tree(struct load *load, struct node *root)
{
	struct level defaults;
	struct conf_reading r = { .load = load, .level = ORIGIN_FILE };
	struct node *upstreams = node_find(root, SPAN("upstreams")), *routes = node_find(root, SPAN("routes"));
	unsigned route_count = routes && routes->value->kind == NODE_LIST ? routes->value->count : 0;
	forget_private(root);
	schema_preset(&r, conf_top_keys, load->conf);
	schema_apply(&r, conf_top_keys, root, load->conf);
	if (!level_new(load, NULL, &defaults))
		return;
	load->defaults = &defaults;
	load->conf->defaults = defaults.settings;
	load->conf->defaults_present = defaults.present;
	read_defaults(load, root);
	map_init(&load->upstream_names, SIZE_MAX, (uint64_t)(uintptr_t)load);
	map_init(&load->upstream_urls, SIZE_MAX, (uint64_t)(uintptr_t)load);
	upstreams_read(load, upstreams ? upstreams->value : NULL, route_count);
	routes_read(load, routes ? routes->value : NULL);
	if (!load->out_of_memory)
		conf_cross_check(load, root);
	map_fini(&load->upstream_names);
	map_fini(&load->upstream_urls);
	load->defaults = NULL;
}

/* ── the snapshot ── */

static struct conf *conf_new(const struct conf_source *from)
{
	struct conf *conf = calloc(1, sizeof(*conf));
	if (!conf)
		return NULL;
	arena_init(&conf->arena, NULL, KEEP_MAX);
	conf->refs = 1;
	conf->blocks = from->blocks;
	conf->block_count = from->block_count;
	conf->file = arena_copy(&conf->arena, span_of(from->file ? from->file : "command line"));
	conf->origins = arena_take_zeroed(&conf->arena, sizeof(*conf->origins));
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	conf->loaded_wall_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	if (!conf->file.at || !conf->origins) {
		arena_fini(&conf->arena);
		free(conf);
		return NULL;
	}
	return conf;
}

struct conf *conf_load(const struct conf_source *from, struct conf_report *report)
{
	struct conf *conf = conf_new(from);
	if (!conf) {
		text_add(&report->text, SPAN("out of memory\n"));
		report->errors = 1;
		return NULL;
	}
	struct load load = { .conf = conf, .from = from };
	arena_init(&load.scratch, NULL, SCRATCH_MAX);
	struct node *root = read_source(&load);
	if (root)
		read_tree(&load, root);
	report_write(&load, report);
	arena_fini(&load.scratch);
	origins_forget_nodes(conf->origins);
	if (!load.errors)
		return conf;
	conf_unref(conf);
	return NULL;
}

struct conf *conf_ref(struct conf *conf)
{
	__atomic_add_fetch(&conf->refs, 1, __ATOMIC_RELAXED);
	return conf;
}

bool conf_listens(const struct conf *conf, struct span address)
{
	for (unsigned i = 0; i < conf->listener_count; i++)
		if (span_eq(conf->listeners[i].address, address))
			return true;
	return false;
}

void conf_unref(struct conf *conf)
{
	if (!conf || __atomic_sub_fetch(&conf->refs, 1, __ATOMIC_ACQ_REL))
		return;
	origins_fini(conf->origins);
	arena_fini(&conf->arena);
	free(conf);
}
