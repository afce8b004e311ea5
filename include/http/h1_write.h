/* h1_write.h - heads and chunk framing to bytes, into one contiguous run (RFC 9112).
 *
 * Framing fields are made here from `framing` and nothing else. Every function writes into memory of the caller and says
 * how many bytes that took; the *_size functions say, without writing, how many will do (an upper bound).
 */
#ifndef HTTP_H1_WRITE_H
#define HTTP_H1_WRITE_H

#include "http/message.h"

enum h1_connection { H1_KEEP_ALIVE, H1_CLOSE, H1_UPGRADE };

enum { H1_CHUNK_OVERHEAD = 18 };          /* "ffffffffffffffff\r\n" before the data; CR LF behind it is 2 more */

size_t h1_request_size(const struct request *);
/* "METHOD target HTTP/1.1", Host (authority), the fields, then framing and Connection fields. BODY_STREAM is sent chunked. */
size_t h1_write_request(char *out, const struct request *, enum h1_connection);

size_t h1_reply_size(const struct reply *);
/* `to`: the request being answered (method and minor decide about body and framing). A BODY_STREAM is sent chunked to
 * HTTP/1.1 clients; to HTTP/1.0 the close ends it (the caller passes H1_CLOSE). For 1xx use h1_write_informational. */
size_t h1_write_reply(char *out, const struct reply *, const struct request *to, enum h1_connection);
size_t h1_write_informational(char *out, const struct reply *);   /* 100, 103 */
size_t h1_write_chunk_head(char *out, size_t data_len);           /* "1f4\r\n" */
size_t h1_trailers_size(const struct fields *);
size_t h1_write_last_chunk(char *out, const struct fields *trailers /* or NULL */);   /* "0\r\n" [fields] "\r\n" */

#endif
