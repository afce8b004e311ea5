/* reason.h - why outrigger answered anything itself: the only table.
 *
 * One word that travels with the exchange to the log, the metrics' label, the error body, Proxy-Status (RFC 9209) and the span.
 * `outrigger help REASON` and docs/errors.md are printed from it.
 *
 *    word, status, RFC 9209 error token, feeds-an-upstream-verdict? (true: the upstream did it), title, what it means and what to do
 */
#ifndef CORE_REASON_H
#define CORE_REASON_H

#include "base/span.h"

#define REASONS(X) \
	X(route_not_found, 404, "destination_not_found", false, "No route", \
	  "No route of the configuration matches host, path, method and headers of this request; try `outrigger explain METHOD URL`.") \
	X(method_not_allowed, 405, "http_request_denied", false, "Method not allowed", \
	  "A route matches host and path, but not the method; Allow lists those that are served.") \
	X(request_invalid, 400, "http_request_error", false, "Malformed request", \
	  "The request is not valid HTTP, or valid in more than one way. Nothing of it was forwarded.") \
	X(request_header_too_large, 431, "http_request_error", false, "Request header too large", \
	  "The head is larger than client.max_header_size, client.max_headers or client.max_target_size (414).") \
	X(request_body_too_large, 413, "http_request_error", false, "Request body too large", \
	  "The body is larger than max_request_body.") \
	X(request_timeout, 408, "http_request_error", false, "The request came too slowly", \
	  "The client did not send its request within client.header_timeout, or its body within client.body.") \
	X(client_closed, 499, "http_request_error", false, "Client went away", \
	  "The client closed the connection before the answer was complete. Only logs see this status.") \
	X(unauthorized, 401, "http_request_denied", false, "Unauthorized", \
	  "The request carries no valid credentials.") \
	X(forbidden, 403, "http_request_denied", false, "Forbidden", \
	  "The credentials are valid, but do not allow this.") \
	X(keys_unavailable, 503, "proxy_internal_response", false, "Tokens cannot be checked yet", \
	  "The keys that tokens are checked with (auth.jwt.jwks) have not been got since outrigger was started. It keeps trying.") \
	X(rate_limited, 429, "http_request_denied", false, "Too many requests", \
	  "A rate limit of this route is used up. Retry-After says when the next request will be let through.") \
	X(concurrency_limited, 503, "connection_limit_reached", false, "Busy", \
	  "All permits of this upstream are taken and the waiting line is full.") \
	X(queue_timeout, 503, "connection_limit_reached", false, "Waited too long for a free slot", \
	  "The request waited for a permit longer than concurrency.queue_timeout allows.") \
	X(overloaded, 503, "proxy_internal_response", false, "Overloaded", \
	  "There is more than can be carried (overload): its loop lags, memory or descriptors run out, or the line of this upstream stands. " \
	  "The least important requests are turned away first.") \
	X(circuit_open, 503, "destination_unavailable", false, "Paused: this service has been failing", \
	  "The circuit breaker of this upstream is open. Retry-After says when the next try is.") \
	X(no_healthy_endpoint, 503, "destination_unavailable", false, "No healthy endpoint", \
	  "This upstream has no endpoint that could be asked.") \
	X(coalesce_full, 503, "connection_limit_reached", false, "Too many wait for the same answer", \
	  "coalesce.max_waiters requests already wait for this answer.") \
	X(dns_error, 503, "dns_error", true, "The service's name does not resolve", \
	  "DNS gave no address for the endpoint's host name. outrigger keeps trying.") \
	X(dns_timeout, 504, "dns_timeout", true, "DNS did not answer", \
	  "No DNS server answered in time for the endpoint's host name. outrigger keeps trying.") \
	X(connection_refused, 502, "connection_refused", true, "The service refused the connection", \
	  "Nothing accepts connections at the endpoint's address, or the host is unreachable. Is the app running?") \
	X(connection_timeout, 504, "connection_timeout", true, "The service did not accept the connection in time", \
	  "The endpoint did not complete a connection within connect_timeout.") \
	X(tls_error, 502, "tls_protocol_error", true, "TLS handshake failed", \
	  "The endpoint and outrigger could not agree on a TLS connection.") \
	X(tls_certificate_error, 502, "tls_certificate_error", true, "The service's certificate is not valid", \
	  "The endpoint's certificate was refused: name, date or issuer.") \
	X(upstream_reset, 502, "connection_terminated", true, "The service hung up", \
	  "The endpoint closed the connection before it had answered. Look into its log: a crash, a restart or its own time-out.") \
	X(upstream_protocol_error, 502, "http_protocol_error", true, "The service's answer is malformed", \
	  "The endpoint's answer is not valid HTTP, or valid in more than one way.") \
	X(upstream_timeout, 504, "http_response_timeout", true, "The service did not answer in time", \
	  "One try took longer than per_try_timeout.") \
	X(deadline_exceeded, 504, "http_response_timeout", false, "Out of time", \
	  "The whole time for this request (timeout, or the client's own deadline) is used up, queueing and retries included.") \
	X(deadline_unreachable, 504, "http_response_timeout", false, "Not enough time left", \
	  "So little of the request's time was left that trying would have been pointless.") \
	X(response_truncated, 502, "http_response_incomplete", true, "The answer broke off", \
	  "The endpoint closed the connection in the middle of its answer; the client's connection was cut so that it can tell.") \
	X(response_header_too_large, 502, "http_response_header_section_size", true, "The service's header is too large", \
	  "The head of the endpoint's answer is larger than outrigger accepts.") \
	X(upgrade_failed, 502, "http_upgrade_failed", true, "Upgrade failed", \
	  "The endpoint switched to a protocol that was not asked for.") \
	X(loop_detected, 502, "proxy_loop_detected", false, "Loop", \
	  "This request has passed through this outrigger before (or through more than ten of them): an upstream points back to it.") \
	X(idempotency_conflict, 409, "http_request_denied", false, "The same request is still running", \
	  "A request with this Idempotency-Key is being worked on.") \
	X(idempotency_mismatch, 422, "http_request_denied", false, "Idempotency-Key used for another request", \
	  "This Idempotency-Key was first used with a different request.") \
	X(idempotency_missing, 400, "http_request_denied", false, "Idempotency-Key is missing", \
	  "This route demands an Idempotency-Key.") \
	X(store_unavailable, 503, "proxy_internal_response", false, "A store does not answer", \
	  "This route has to ask a store (Redis) before it lets a request run, and the store does not answer (on_store_error: deny).") \
	X(draining, 503, "destination_unavailable", false, "Shutting down", \
	  "outrigger is draining and takes no new requests.") \
	X(fault_injected, 503, "proxy_internal_response", false, "Injected fault", \
	  "The route's `fault` setting made this answer on purpose.") \
	X(internal_error, 500, "proxy_internal_error", false, "Internal error", \
	  "Something went wrong inside outrigger (out of memory, or a bug). Please report it.")

enum reason {
	REASON_NONE,                          /* the upstream's answer, unchanged */
#define X(word, status, token, upstream, title, text) REASON_##word,
	REASONS(X)
#undef X
	REASON_COUNT
};

struct reason_facts { const char *word; int status; const char *token; bool by_upstream; const char *title, *text; };

const struct reason_facts *reason_facts(enum reason);
static inline const char *reason_name(enum reason r) { return reason_facts(r)->word; }    /* REASON_NONE: "" */
static inline int reason_status(enum reason r) { return reason_facts(r)->status; }
bool reason_of(struct span word, enum reason *);

/* Who made the answer: log field served_by. */
#define SERVED_BY(X) X(upstream) X(cache) X(stale) X(coalesced) X(fallback) X(proxy)
enum served_by {
#define X(word) SERVED_BY_##word,
	SERVED_BY(X)
#undef X
	SERVED_BY_COUNT
};
const char *served_by_name(enum served_by);

#endif
