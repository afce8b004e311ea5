/* keys.h - readers and checks of the tables in keys.c: each looks at one text and complains when it is wrong. */
#ifndef CONF_KEYS_H
#define CONF_KEYS_H

#include "load.h"

#define READER(name) bool name(struct conf_reading *, void *field, struct span text, unsigned index)
READER(read_listen);
READER(read_admin_listen);
READER(read_network);
READER(read_absolute_path);
READER(read_target);
READER(read_url);
READER(read_redis_url);
READER(read_expect_status);
READER(read_dns);
READER(read_srv);
READER(read_host_header);
READER(read_field);
READER(read_field_name);
READER(read_set_request_field);
READER(read_set_reply_field);
READER(read_route_name);
READER(read_host);
READER(read_route_path);
READER(read_method);
READER(read_access_to);
READER(read_detail);
READER(read_always_status);
READER(read_buckets);
READER(read_collector);
READER(read_workers);
#undef READER

#endif
