/* route_index.h - private: finding a route fast. */
#ifndef SRC_CORE_ROUTE_INDEX_H
#define SRC_CORE_ROUTE_INDEX_H

#include "core/route.h"

/* Built in the router's arena, and put into router->index before it is complete. NULL: out of memory; what there is of it is fini'd all the same. */
struct route_index *route_index_new(struct router *);
void route_index_fini(struct route_index *);      /* compiled expressions and tables; NULL is harmless */

#endif
