/* request_key.h - what a request is told apart by: one part of a key, of the request alone. */
#ifndef CORE_REQUEST_KEY_H
#define CORE_REQUEST_KEY_H

#include "http/message.h"

enum request_key_kind { REQUEST_KEY_CLIENT_IP, REQUEST_KEY_HEADER, REQUEST_KEY_COOKIE };
struct request_key { enum request_key_kind kind; struct span name; };

enum { REQUEST_KEY_ROOM = 16 };
/* "client_ip", "header:NAME" or "cookie:NAME"; the name refers to the text. false: it is none of them. */
bool request_key_read(struct request_key *, struct span text);
/* Empty: this request has none. An IPv6 client is known by its /64, written into `room`: whoever has one address there has them all. */
struct span request_key_of(const struct request_key *, const struct request *, struct span client_address, unsigned char room[REQUEST_KEY_ROOM]);

#endif
