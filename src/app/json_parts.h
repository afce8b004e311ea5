/* json_parts.h - private: routes and upstreams as JSON, for several pages. */
#ifndef SRC_APP_JSON_PARTS_H
#define SRC_APP_JSON_PARTS_H

#include "app/server.h"
#include "base/json.h"

void json_routes(const struct server *, struct json *, const char *key);
void json_upstreams(const struct server *, struct json *, const char *key);
void json_stores(const struct server *, struct json *, const char *key);
void json_keys(const struct server *, struct json *, const char *key);     /* that tokens are checked with */

#endif
