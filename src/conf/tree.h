/* tree.h - what was written, before anybody knows what it means: scalars, lists and mappings, each with its place.
 *
 * The tree lives in the loading's scratch arena and dies with it; its texts live as long as the configuration, NUL-terminated.
 * A node is on one list of siblings only; an alias is a shallow copy that shares the children, so expansion costs one node
 * and is bounded by `weight`.
 */
#ifndef CONF_TREE_H
#define CONF_TREE_H

#include "base/span.h"

enum {
	TREE_DEPTH_MAX   = 32,                  /* nesting                                   */
	TREE_WEIGHT_MAX  = 200000,              /* nodes, aliases expanded                   */
	TREE_ANCHORS_MAX = 256,
	TREE_FILE_MAX    = 4 * 1024 * 1024,     /* bytes                                     */
};

enum origin_via { VIA_FILE, VIA_COMMAND_LINE, VIA_SET };

struct source_text {                            /* one text that was read: the file, the command line, the --set options */
	struct span name, text;
	enum origin_via via;
	bool ascii;                             /* then columns are bytes                    */
	size_t *line_starts; unsigned line_count;
};

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
	enum node_kind kind;
	bool plain;                             /* a scalar without quotes: null and booleans mean something */
	bool broken;                            /* already complained about: not to be read  */
	bool verbatim;                          /* the source holds exactly `text`, starting at text_column  */
	const struct source_text *source;
	unsigned line, column, text_column;     /* from 1, counted in characters             */
	unsigned width;                         /* characters; 0: to the end of the line     */
	unsigned weight;                        /* nodes here and beneath, this one included */
	struct span text;                       /* of a scalar, ${NAME} expanded             */
	struct node *value;                     /* of a key, which stands in a NODE_MAP's list */
	struct node *first, *last, *next;
	unsigned count;
};

static inline void node_append(struct node *parent, struct node *child)
{
	child->next = NULL;
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->count++;
}

/* Nothing at all, `~` or null. */
bool node_is_null(const struct node *);
/* The key (not its value) of that name, or NULL. */
struct node *node_find(const struct node *map, struct span name);
/* Takes a key that is known to be in the map out of it; `before` is its left neighbour or NULL. */
void node_unlink(struct node *map, struct node *before, struct node *key);

#endif
